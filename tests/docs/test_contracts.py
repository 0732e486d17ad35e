"""Tables of the pages, held to what they list: topics, fields, paths, rooms, sources, terms."""

import ast
import re
import tomllib
from datetime import UTC, datetime

import msgspec
import pytest
from django.urls import URLPattern

from sagestream.datasets import SOURCES
from serving.web.urls import urlpatterns
from stream import events
from stream.kafka.topics import TOPICS
from tests.docs.pages import PACKAGES, ROOT, page
from training.models.bundle import TERMS

KINDS: dict[str, type[msgspec.Struct]] = {
    events.INTERACTIONS: events.Interaction,
    events.IMPRESSIONS: events.Impression,
    events.CATALOG: events.CatalogItem,
    events.CATALOG_CHANGES: events.ItemChange,
    events.USERS: events.UserAttributes,
    events.IDENTITIES: events.Identity,
    events.SEEN: events.Seen,
    events.USERS_TOUCHED: events.UserTouched,
    events.MODELS: events.ModelAnnouncement,
    events.DEAD_LETTERS: events.DeadLetter,
}
NOW = datetime(2026, 2, 1, tzinfo=UTC)


def test_every_topic_stands_in_the_table() -> None:
    table = page("docs/events.md").section("## Topics")
    for topic in TOPICS:
        assert f"| `{topic.name}` | {topic.key} | {topic.holds} |" in table
    assert len(re.findall(r"^\| `", table, re.MULTILINE)) == len(TOPICS) == len(KINDS)


@pytest.mark.parametrize("topic", KINDS)
def test_every_field_of_an_event_stands_in_its_table(topic: str) -> None:
    section = page("docs/events.md").section(f"## `{topic}`")
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(listed) == sorted(field.name for field in msgspec.structs.fields(KINDS[topic]))
    assert KINDS[topic].__name__ in section


@pytest.mark.parametrize("topic", KINDS)
def test_the_example_of_an_event_is_one(topic: str) -> None:
    section = page("docs/events.md").section(f"## `{topic}`")
    (example,) = re.findall(r"^```json\n(.+?)```", section, re.MULTILINE | re.DOTALL)
    event = events.decode(example.encode(), KINDS[topic], now=NOW)
    assert event == events.decode(events.encode(event), KINDS[topic], now=NOW)


def test_every_event_type_is_named() -> None:
    section = page("docs/events.md").section("## `interactions`")
    (row,) = [line for line in section.splitlines() if line.startswith("| `event_type` |")]
    assert re.findall(r"`(\w+)`", row)[1:] == [kind.value for kind in events.EventType]


def test_every_path_of_the_api_stands_in_the_table() -> None:
    routes = [str(one.pattern) for one in urlpatterns if isinstance(one, URLPattern)]
    wanted = {"/" + re.sub(r"<\w+:(\w+)>", r"<\1>", route) for route in routes}
    assert set(re.findall(r"^\| `(/.*?)` \| [A-Z, ]+ \|", page("docs/api.md").text, re.MULTILINE)) == wanted


def test_every_room_stands_in_the_architecture() -> None:
    rooms = {
        path.parent.relative_to(ROOT).as_posix() + "/"
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    section = page("docs/architecture.md").section("## Rooms")
    assert set(re.findall(r"^\| `([\w/]+/)` \|", section, re.MULTILINE)) == rooms - {"graphstore/migrations/versions/"}


def test_the_order_of_the_rooms_of_training_is_the_one_that_is_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [one["layers"] for one in contracts if one.get("containers") == ["training"]]
    rooms = [layer for layer in reversed(layers) if (ROOT / "training" / layer).is_dir()]
    assert f"lowest first: {', '.join(rooms)}." in " ".join(page("docs/architecture.md").text.split())


def test_every_file_of_the_reading_order_is_in_the_events_life() -> None:
    architecture = page("docs/architecture.md")
    files = re.findall(r"`([\w/]+\.py)`", architecture.section("## Reading order"))
    assert len(files) == 14
    assert set(files) <= set(re.findall(r"`([\w/]+\.py)`", architecture.section("## One event's whole life")))


def test_every_invariant_names_its_test() -> None:
    rows = [
        line
        for line in page("docs/invariants.md").text.splitlines()
        if line.startswith("| ") and not line.startswith("| invariant")
    ]
    assert len(rows) > 20
    for row in rows:
        proof = row.strip("| ").rpartition(" | ")[2]
        assert re.search(r"`tests/|`make test`", proof), row


def test_every_source_and_every_term_has_a_row() -> None:
    assert re.findall(r"^\| `([\w-]+)` \|", page("docs/data.md").section("## Import"), re.MULTILINE) == list(SOURCES)
    score = page("docs/models.md").section("## The score")
    files = {term.__module__.replace(".", "/") + ".py" for term in TERMS.values()}
    assert set(re.findall(r"^\| .*? \| `([\w/]+\.py)` \|", score, re.MULTILINE)) == files


def test_every_log_line_of_a_warning_or_worse_stands_in_the_table_of_operations() -> None:
    """And the table has no line that nobody logs. A placeholder is …; a line of nothing else has no row."""
    logged = set()
    for package in ("graphstore", "stream", "training", "serving", "monitoring", "sagestream"):
        for file in (ROOT / package).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Attribute)
                    and ast.unparse(call.func.value) == "logger"
                    and call.func.attr in ("warning", "error", "exception", "critical")
                    and isinstance(call.args[0], ast.Constant)
                ):
                    logged.add(re.sub(r"%[-\d.,]*[sdrgf]", "…", call.args[0].value))
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| [^|]+ \|$", page.partition("## Log lines")[2], re.MULTILINE)
    assert set(rows) == logged - {"…"}
    assert len(rows) > 40
