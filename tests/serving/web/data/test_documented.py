"""The calls that the page of the API shows, made."""

import shlex
import urllib.request
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import item_store
from serving.config import ServingConfig
from tests.docs.pages import page
from tests.serving.web.test_views import Post

SECTIONS = ("## Items", "## Users and logins", "## What is known of a shopper")


@pytest.fixture(autouse=True)
def shop(web: Client, post: Post, redis: Redis, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig(api_key=SecretStr("KEY"), admin_key=SecretStr("ADMIN_KEY"))
    item_store.set_items(redis, [Item(31, "sku-9", "Green tea, 100 g")])


def curls() -> list[list[str]]:
    """The words of each command that begins with `curl` in these sections."""
    texts = [page("docs/api.md").section(name) for name in SECTIONS]
    words = shlex.split("\n".join(block for text in texts for block in text.split("```")[1::2] if "curl" in block))
    starts = [index for index, word in enumerate(words) if word == "curl"]
    return [words[start:end] for start, end in zip(starts, [*starts[1:], len(words)], strict=True)]


def test_each_curl_is_taken(web: Client) -> None:
    commands = curls()
    assert len(commands) == 10
    for words in commands:
        (address,) = (word for word in words if word.startswith("http://127.0.0.1:8000/"))
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        body = words[words.index("-d") + 1] if "-d" in words else ""
        headers = dict(words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H")
        answer = web.generic(
            method,
            address.removeprefix("http://127.0.0.1:8000"),
            body,
            content_type="application/json",
            headers=headers,
        )
        assert answer.status_code in (200, 202), (words, answer.content)
        assert not answer.json().get("refused"), (words, answer.content)


def test_the_python_of_the_page_runs(web: Client, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def urlopen(request: urllib.request.Request, timeout: float) -> BytesIO:
        path = urlsplit(request.full_url).path
        given = {name: value for name, value in request.header_items() if name != "Content-type"}
        body = request.data
        assert isinstance(body, bytes)
        answer = web.generic(request.get_method(), path, body, content_type="application/json", headers=given)
        assert answer.status_code == 202, answer.content
        return BytesIO(answer.content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    (code,) = [block.text for block in page("docs/api.md").blocks if block.language == "python"]
    exec(code, {})
    assert capsys.readouterr().out.startswith("1 price ")
