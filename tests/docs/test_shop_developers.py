"""The page for shop developers, run: each `curl` and each block of Python, against the real web server.

Kafka is an outbox that keeps what it gets, and nobody carries out errands.
"""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.conf import LazySettings
from pydantic import SecretStr
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import item_store
from serving import cache, client
from serving.client import Limits, Retry, Sagestream
from serving.client.buffer import CLOSE_SECONDS
from serving.client.doors import Door, Doors
from serving.client.errors import SagestreamError
from serving.config import OFF, ServingConfig
from serving.web.authentication import shows_key
from serving.web.bridge import Environ
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from serving.web.settings import MAX_POSTED_EVENTS
from serving.web.wsgi import application
from stream.events import IMPRESSIONS, INTERACTIONS
from tests.docs.pages import page
from tests.serving.toy import MODEL
from tests.serving.web.conftest import post, web
from tests.serving.web.running import running
from tests.serving.web.test_views import Post

__all__ = ["post", "web"]

PAGE = page("docs/shop-developers.md")
URL = "http://127.0.0.1:8000"
OPERATION = tuple[str, str]
BY_PROGRAMS = "/api/"
"""The doors of another recommender's clients, which have a documentation of their own."""


class Recorded:
    """The web application, which keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[OPERATION] = []

    def __call__(self, environ: Environ, start_response: Any) -> Any:
        self.asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        return application(environ, start_response)

    def operations(self, described: set[OPERATION]) -> set[OPERATION]:
        """Which of the described operations were asked."""
        return {
            (method, path)
            for method, path in described
            for asked, where in self.asked
            if asked == method and best(where, described) == path
        }


def best(where: str, described: set[OPERATION]) -> str | None:
    """The described path of an address: of several, the one with the fewest variables."""
    fitting = {path for _, path in described if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), where)}
    return min(fitting, key=lambda path: path.count("{"), default=None)


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def url(settings: LazySettings, post: Post, redis: Redis, recorded: Recorded) -> Iterator[str]:
    """A shop with the two items of the page."""
    settings.SERVING = ServingConfig(
        api_key=SecretStr("KEY"), admin_key=SecretStr("ADMIN_KEY"), ranker_url=OFF, requests_per_second=0
    )
    items = [Item(21, "sku-9", title="Green tea", categories=["Drinks", "Tea"], brand="Leaf", price=3.5)]
    item_store.set_items(redis, [*items, Item(22, "sku-7", title="Tea pot", categories=["Kitchen"], price=24.0)])
    cache.write_lists(redis, {cache.recs_key(MODEL, "u42"): cache.pack([21, 22, 11, 12], [4, 3, 2, 1], as_of=1_000)})
    with running(Gateway(recorded, threads=4, rate=TokenBuckets(0), unlimited=shows_key)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def described(url: str, recorded: Recorded) -> set[OPERATION]:
    with Sagestream(url) as shop:
        paths = shop.description()["paths"]
    recorded.asked.clear()
    return {
        (method.upper(), path) for path, ways in paths.items() for method in ways if not path.startswith(BY_PROGRAMS)
    }


def curls() -> list[list[str]]:
    texts = [block.text for block in PAGE.blocks if not block.language and block.text.startswith("curl")]
    lines = re.split(r"^(?=curl )", "".join(texts), flags=re.MULTILINE)
    return [shlex.split(line.replace("\\\n", "")) for line in lines if line]


def request_of(words: list[str]) -> tuple[str, str, dict[str, str], str]:
    """What `curl` would send: method, address, headers and body. Another option than these is an error."""
    method, where, headers, body = "GET", "", {}, ""
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest)
        else:
            assert word.startswith(URL), word
            where = word
    return method, where, headers, body


def test_every_door_has_a_curl_that_works(url: str, post: Post, recorded: Recorded, described: set[OPERATION]) -> None:
    with Sagestream(url, "KEY") as shop, Sagestream(url, "ADMIN_KEY") as operator:
        stands_for = {
            URL: url,
            "REQUEST_ID": shop.recommendations("u42", slot="home").request_id,
            "TOKEN": shop.token("u42").token,
            "EXPORT_RECEIPT": operator.ask_export("u42").receipt,
            "ERASURE_RECEIPT": operator.forget("u43").receipt,
        }
    recorded.asked.clear()
    for line in curls():
        method, where, headers, body = request_of(line)
        words = [where, body]
        for name, value in stands_for.items():
            words = [word.replace(name, value) for word in words]
        answer = httpx.request(method, words[0], headers=headers, content=words[1].encode())
        assert answer.status_code < 300, (words, answer.text)
        told = answer.json()
        assert not told.get("refused"), (words, told)
        assert "accepted" not in told or told["accepted"] > 0, (words, told)
    assert recorded.operations(described) == described


def test_every_door_has_a_call_of_the_client_that_works(
    url: str, post: Post, recorded: Recorded, described: set[OPERATION], capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for block in PAGE.blocks:
        if block.language == "python":
            exec(block.text.replace(URL, url), names)
    assert recorded.operations(described) == described
    for one in ("shop", "operator", "app", "hasty"):
        names[one].close()
    told = capsys.readouterr().out
    assert "slot 'roof' is none of" in told  # what a wrong field says
    assert "waiting" in told and "Tea pot" in told
    click, viewed = [letter.event for letter in post.letters if letter.topic == INTERACTIONS][-2:]
    assert (click.request_id, click.position) == ("REQUEST_ID", 0)
    assert viewed.event_type == "view"
    lists = [letter.event for letter in post.letters if letter.topic == IMPRESSIONS]
    assert all(logged.user_id == "u42" for logged in lists)


def test_every_name_of_the_client_stands_on_the_page() -> None:
    code = "".join(block.text for block in PAGE.blocks if block.language == "python")
    called = {name for name, door in vars(Doors).items() if isinstance(door, Door)}
    assert called == {name for name in called if re.search(rf"\b(?:shop|operator|app|hasty)\.{name}\(", code)}
    errors = {
        name for name in client.__all__
        if isinstance(one := getattr(client, name), type) and issubclass(one, SagestreamError)
    }  # fmt: skip
    table = PAGE.section("## When something goes wrong")
    assert errors == {name for name in errors if f"`{name}`" in table}


def test_the_figures_of_the_page_are_the_defaults() -> None:
    text, limits, retry = " ".join(PAGE.text.split()), Limits(), Retry()
    assert f"when there are {limits.batch_events}, or after a second" in text and limits.age_seconds == 1.0
    assert f"up to {limits.waiting:,}; then `add` raises `BufferFull`" in text
    assert "four times within ten seconds" in text and (retry.tries, retry.patience_seconds) == (4, 10.0)
    assert "could not be told in ten seconds" in text and CLOSE_SECONDS == 10.0
    assert f"one or up to {MAX_POSTED_EVENTS}" in text and limits.batch_events <= MAX_POSTED_EVENTS


def test_each_curl_is_read_as_a_shell_would() -> None:
    assert request_of(["curl", "-X", "PUT", f"{URL}/a/", "-H", "A: b", "-d", "{}"]) == (
        "PUT", f"{URL}/a/", {"A": "b"}, "{}",
    )  # fmt: skip
    assert len(curls()) > 30
    assert best("/items/stock/", {("POST", "/items/stock/"), ("GET", "/items/{item_id}/")}) == "/items/stock/"
