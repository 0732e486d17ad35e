"""The event contract: what is read, what is refused and why."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphstore.tables import EVENT_TYPES
from stream import events
from stream.events import EventType, Interaction, InvalidEvent, decode, encode, milliseconds, utc

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
GOOD = {
    "event_id": "e1",
    "event_type": "purchase",
    "user_id": "u1",
    "item_id": "i1",
    "event_time": "2026-01-05T11:59:00Z",
}


def raw(**changes: object) -> bytes:
    fields = {**GOOD, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def test_a_minimal_interaction_is_read() -> None:
    event = decode(raw(), Interaction, now=NOW)
    assert event == Interaction(
        event_id="e1",
        event_type=EventType.PURCHASE,
        user_id="u1",
        item_id="i1",
        event_time=NOW - timedelta(minutes=1),
    )


def test_what_is_written_can_be_read_and_leaves_out_what_is_unset() -> None:
    event = decode(raw(request_id="r", position=3, value=2.5, quantity=2), Interaction, now=NOW)
    assert decode(encode(event), Interaction, now=NOW) == event
    assert b"value" not in encode(decode(raw(), Interaction, now=NOW))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "object"),
        (b"\xff\xfe", "malformed"),
        (raw(event_id=...), "event_id"),
        (raw(event_id=""), "event_id"),
        (raw(event_id=5), "event_id"),
        (raw(user_id="x" * 129), "user_id"),
        (raw(event_type="stare"), "event_type"),
        (raw(event_time="2026-01-05T11:59:00"), "event_time"),
        (raw(event_time="1989-12-31T23:59:59Z"), "before 1990"),
        (raw(event_time="2026-01-05T13:00:01Z"), "future"),
        (raw(quantity=0), "quantity"),
        (raw(quantity=-1), "quantity"),
        (raw(position=-1), "position"),
        (raw(value="much"), "value"),
        (raw(colour="red"), "colour"),
        (raw(item_id="a\u0000b"), "NUL"),
        (raw(item_id="x" * events.MAX_EVENT_BYTES), "bytes"),
    ],
)
def test_what_is_outside_the_contract_is_refused_with_its_reason(message: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        decode(message, Interaction, now=NOW)


def test_a_backslash_before_the_letters_of_a_nul_is_text() -> None:
    event = decode(raw(item_id="C:\\u0000"), Interaction, now=NOW)
    assert event.item_id == "C:\\u0000"


def test_other_zones_are_the_same_instant() -> None:
    event = decode(raw(event_time="2026-01-05T13:59:00+02:00"), Interaction, now=NOW)
    assert milliseconds(event.event_time) == milliseconds(NOW - timedelta(minutes=1))


@given(st.integers(milliseconds(events.EARLIEST), 4_102_444_800_000), st.integers(-12 * 60, 12 * 60))
def test_milliseconds_and_back(epoch: int, offset_minutes: int) -> None:
    assert milliseconds(utc(epoch).astimezone(timezone(timedelta(minutes=offset_minutes)))) == epoch


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_refused(message: bytes) -> None:
    try:
        event = decode(message, Interaction, now=NOW)
    except InvalidEvent as error:
        assert str(error)
    else:
        assert encode(event)


def test_the_types_have_the_order_of_the_tables() -> None:
    assert tuple(EventType) == EVENT_TYPES
