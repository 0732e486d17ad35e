from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.web import bodies
from serving.web.intake import Refusal, UnreadableBody, checked, split
from serving.web.outbox import Letter, letter_of
from stream.events import Interaction

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = {
    "event_id": "e1",
    "event_type": "view",
    "user_id": "ann",
    "item_id": "apple",
    "event_time": "2026-02-28T10:00:00Z",
}


def taken(body: bytes, *, bound: int) -> tuple[list[Letter], list[Refusal]]:
    """What the door makes of a body, without a request around it."""
    found = bodies.each(split(body, bound), lambda raw: letter_of(checked(raw, Interaction, now=NOW)))
    return found.letters, found.refused


def read_events(body: bytes, *, bound: int) -> tuple[list[Interaction], list[Refusal]]:
    letters, refused = taken(body, bound=bound)
    return [letter.event for letter in letters if isinstance(letter.event, Interaction)], refused


def read(*events: object) -> tuple[list[str], list[Refusal]]:
    accepted, refused = read_events(orjson.dumps(list(events)), bound=10)
    return [event.event_id for event in accepted], refused


def test_one_event_or_many() -> None:
    assert read(GOOD, {**GOOD, "event_id": "e2"}) == (["e1", "e2"], [])
    accepted, refused = read_events(b" " + orjson.dumps(GOOD), bound=10)
    assert ([event.event_id for event in accepted], refused) == (["e1"], [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event_type": "stare"}, "event_type"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": 7}, "user_id"),
        ({"user_id": "undefined"}, "user_id"),
        ({"user_id": " \u00a0"}, "user_id"),
        ({"item_id": "a\u0007b"}, "item_id"),
        ({"item_id": "x" * 129}, "item_id"),
        ({"event_time": "2026-02-28T10:00:00"}, "event_time"),
        ({"event_time": "1980-02-28T10:00:00Z"}, "event_time"),
        ({"event_time": "2026-03-02T10:00:00Z"}, "event_time"),
        ({"quantity": 0}, "quantity"),
        ({"colour": "red"}, "colour"),
        ({"user_id": "a\0b"}, "user_id"),
        ({"request_id": "\0"}, "request_id"),
    ],
)
def test_a_bad_event_is_named_and_the_others_taken(change: dict[str, object], field: str) -> None:
    accepted, refused = read(GOOD, {**GOOD, **change}, {**GOOD, "event_id": "e3"})
    assert accepted == ["e1", "e3"]
    assert [(refusal.index, refusal.field) for refusal in refused] == [(1, field)]
    assert refused[0].reason


def test_a_missing_field_is_named() -> None:
    assert read({key: value for key, value in GOOD.items() if key != "item_id"})[1][0].field == "item_id"


def test_what_is_no_object_has_no_field() -> None:
    assert [(refusal.index, refusal.field) for refusal in read(7, "x", None)[1]] == [(0, ""), (1, ""), (2, "")]


@pytest.mark.parametrize("body", [b'{"a":' * 50_000, b'{"colour":' + b"[" * 30_000])
def test_deep_nesting_is_refused(body: bytes) -> None:
    accepted, refused = read_events(body, bound=10)
    assert (accepted, len(refused)) == ([], 1)


def test_a_number_beyond_floats_is_refused() -> None:
    body = orjson.dumps(GOOD)[:-1] + b',"value":1e999}'
    accepted, refused = read_events(body, bound=10)
    assert accepted == []
    assert refused[0].field in ("", "value")


@pytest.mark.parametrize("body", [b"", b"  ", b"[]", b"[", b"[{}", b"[1,]", b"[\xff]", b"[" * 100_000])
def test_what_is_no_list_of_events_is_refused_whole(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        read_events(body, bound=10)


def test_too_many_events_are_refused_whole() -> None:
    with pytest.raises(UnreadableBody, match="3 events"):
        read_events(b"[1,2,3]", bound=2)


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_refused(body: bytes) -> None:
    try:
        accepted, _ = read_events(body, bound=10)
    except UnreadableBody:
        return
    assert accepted == []


def test_events_are_addressed_by_shopper() -> None:
    letters, _ = taken(orjson.dumps(GOOD), bound=1)
    assert [(letter.topic, letter.key) for letter in letters] == [("interactions", "ann")]
