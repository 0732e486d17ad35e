import re
from importlib.resources import files
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client

from serving.config import ServingConfig
from serving.web import tag

STATIC = files("serving.web").joinpath("static")
PAGE = Path(__file__).parents[3] / "docs" / "shop-page.md"


def test_the_page_and_the_types_name_each_call() -> None:
    start = STATIC.joinpath("tag/start.js").read_text()
    body = re.sub(r"=>.*?,$", ",", start.partition("const api = {")[2].partition("\n};")[0], flags=re.MULTILINE)
    calls = {part.split(":")[0].strip() for part in re.sub(r"\([^()]*\)|=>.*", "", body).split(",") if part.strip()}
    types = STATIC.joinpath("sagestream.d.ts").read_text().partition("interface Tag {")[2].partition("\n}")[0]
    assert set(re.findall(r"^  (\w+)\(", types, re.MULTILINE)) == calls
    assert set(re.findall(r"^\| `sagestream\.(\w+)\(", PAGE.read_text(), re.MULTILINE)) == calls
    assert {"view", "order", "consent", "push"} <= calls


def test_the_page_names_each_attribute() -> None:
    source = "".join(STATIC.joinpath(f"tag/{part}.js").read_text() for part in tag.PARTS)
    (of_script,) = re.findall(r"const \{ (.*) \} = script\.dataset", source)
    (of_slots,) = re.findall(r"const \{ (.*) \} = target\.dataset", source)
    names = re.findall(r"(?:^|,) ?(\w+)", f"{of_script},{of_slots}")
    assert sorted(names) == ["consent", "currency", "k", "layers", "link", "options"]
    for name in names:
        assert f"| `data-{name}` |" in PAGE.read_text(), name


def test_the_tag_is_small_and_one_script(web: Client) -> None:
    answer = web.get("/tag.js")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/javascript; charset=utf-8"
    assert len(answer.content) <= 8_000
    text = answer.content.decode()
    for needs in ("eval(", "Function(", "innerHTML", "document.write", ".style", "import "):
        assert needs not in text, needs


def test_pages_of_every_origin_may_load_it_and_keep_it(web: Client, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig()  # no key, and no page for trials
    answer = web.get("/tag.js", headers={"Origin": "https://shop.example"})
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert answer["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "max-age=3600" in answer["Cache-Control"]
    again = web.get("/tag.js", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", answer["ETag"])
    assert web.get("/tag.js", headers={"If-None-Match": '"another"'}).status_code == 200
    assert web.head("/tag.js")["ETag"] == answer["ETag"]


@pytest.mark.parametrize(
    ("source", "small"),
    [
        ("const a = 1; // one\n\nlet b;\n", "const a=1;let b;"),
        ("return typeof  x;", "return typeof x;"),
        ("f(a, [1, 2,], {\n  b: 1,\n});", "f(a,[1,2],{b:1});"),
        ("if (x) {\n  y();\n}\nelse z();", "if(x){y()}else z();"),
        ('say("a  // b", `c  ${ d } //`);', 'say("a  // b",`c  ${ d } //`);'),
        ("x = /^https?:\\/\\/ $/.test(y);", "x=/^https?:\\/\\/ $/.test(y);"),
        ("a = b / c / d;", "a=b/c/d;"),
    ],
)
def test_comments_and_spaces_go_and_nothing_else(source: str, small: str) -> None:
    assert tag.squeezed(source) == small


def test_a_tag_that_grew_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag, "MAX_BYTES", 100)
    tag.script.cache_clear()
    with pytest.raises(ValueError, match="over 100"):
        tag.script()
    monkeypatch.undo()
    assert tag.script()[0].startswith(b"//")
