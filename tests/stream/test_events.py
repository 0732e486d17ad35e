"""The event contract: what is read, what is refused and why."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphstore.tables import EVENT_TYPES
from stream import events
from stream.events import (
    CatalogItem,
    Event,
    EventType,
    Identity,
    Impression,
    Interaction,
    InvalidEvent,
    UserAttributes,
    decode,
    encode,
    milliseconds,
    utc,
)
from tests.fuzz.messages import KINDS, messages

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


RELEASED = {
    Interaction: raw(value=2.5, quantity=2, request_id="r", position=0),
    Impression: b'{"event_time":"2026-01-05T11:59:00Z","request_id":"r","user_id":"u","slot":"home",'
    b'"model_version":"m","variant":"champion","items":[{"item_id":"i","position":0,"score":1.5,"propensity":1.0,"source":"batch"}]}',
}
"""Messages as version 0.1.0 wrote them, without orders and before lists told whether they are shown."""


def test_messages_of_a_released_version_are_read_as_they_were_meant() -> None:
    bought = decode(RELEASED[Interaction], Interaction, now=NOW)
    assert (bought.order_id, bought.currency) == (None, None)
    served = decode(RELEASED[Impression], Impression, now=NOW)
    assert (served.confirmed, served.robot, served.client) == (True, False, "")
    for kind, old in RELEASED.items():
        assert json.loads(encode(decode(old, kind, now=NOW))) == json.loads(old)  # an old worker reads it, too


@pytest.mark.parametrize("currency", ["eur", "EURO", "", "E R", "ÄÖÜ", 978])
def test_a_currency_is_three_capital_letters(currency: object) -> None:
    assert decode(raw(order_id="1007", currency="EUR"), Interaction, now=NOW).currency == "EUR"
    with pytest.raises(InvalidEvent, match="currency"):
        decode(raw(currency=currency), Interaction, now=NOW)


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


IMPRESSION = {
    "request_id": "r",
    "user_id": "u",
    "slot": "home",
    "event_time": "2026-01-05T11:59:00Z",
    "model_version": "m",
    "variant": "v",
    "items": [],
}
PLACE = {"item_id": "i", "position": 0, "score": 1.5, "propensity": 1.0, "source": "batch"}
ITEM = {"item_id": "i", "event_time": "2026-01-05T11:59:00Z"}
USER = {"user_id": "u", "event_time": "2026-01-05T11:59:00Z"}
LOGIN = {"anonymous_id": "s", "user_id": "u", "event_time": "2026-01-05T11:59:00Z"}


def listed(**changes: object) -> dict[str, object]:
    return {**IMPRESSION, "items": [{**PLACE, **changes}]}


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        (Impression, listed(propensity=0), "propensity"),
        (Impression, listed(propensity=1.0001), "propensity"),
        (Impression, listed(position=10_001), "position"),
        (Impression, listed(score="high"), "score"),
        (Impression, listed(colour="red"), "colour"),
        (Impression, {**IMPRESSION, "items": [PLACE, {**PLACE, "item_id": "j"}]}, "two items at one position"),
        (Impression, {**IMPRESSION, "items": None}, "array"),
        (CatalogItem, {**ITEM, "price": -0.01}, "price"),
        (CatalogItem, {**ITEM, "price": 1e9 + 1}, "price"),
        (CatalogItem, {**ITEM, "categories": ["c"] * 33}, "categories"),
        (CatalogItem, {**ITEM, "categories": "tea"}, "categories"),
        (CatalogItem, {**ITEM, "title": "x" * 1025}, "title"),
        (CatalogItem, {**ITEM, "available": 1}, "available"),
        (CatalogItem, {**ITEM, "item_id": "é" * 129}, "item_id"),
        (UserAttributes, {**USER, "attributes": {"a": None}}, "attributes"),
        (UserAttributes, {**USER, "attributes": {"a": [1]}}, "attributes"),
        (UserAttributes, {**USER, "attributes": {"a": "x" * 1025}}, "attributes"),
        (UserAttributes, {**USER, "attributes": {"": 1}}, "attributes"),
        (CatalogItem, {**ITEM, "attributes": {"a": 2**63}}, "attributes"),
        (CatalogItem, {**ITEM, "attributes": {"a": -(10**400)}}, "attributes"),
        (CatalogItem, {**ITEM, "attributes": {"a": 1e19}}, "attributes"),
        (UserAttributes, {**USER, "attributes": {"x" * 65: 1}}, "attributes"),
        (UserAttributes, {**USER, "attributes": {str(n): n for n in range(65)}}, "attributes"),
        (UserAttributes, {**USER, "attributes": []}, "attributes"),
        (Identity, {**LOGIN, "anonymous_id": ""}, "anonymous_id"),
        (Identity, {"anonymous_id": "s", "event_time": "2026-01-05T11:59:00Z"}, "user_id"),
        (Identity, {**LOGIN, "event_time": "2026-01-05T13:00:00.001Z"}, "future"),
        (Identity, {**LOGIN, "event_time": "1989-12-31T23:59:59.999Z"}, "before 1990"),
        (Identity, {**LOGIN, "event_time": 1_767_610_800}, "event_time"),
    ],
)
def test_other_kinds_are_refused_with_their_reasons(kind: type[Event], content: object, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        decode(json.dumps(content).encode(), kind, now=NOW)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b"", "json"),
        (raw()[:-1], "json"),
        (b"\xef\xbb\xbf" + raw(), "json"),
        (raw().decode().encode("utf-16"), "json"),
        (raw(value=float("nan")), "json"),
        (raw(user_id="\ud800x"), "json"),
        (raw().replace(b"u1", b"\xff"), "utf8"),
        (raw().replace(b"u1", b"\xed\xa0\x80"), "utf8"),
        (raw(user_id="\0"), "nul"),
        (raw(quantity=-1), "field"),
        (raw(value=10**400), "field"),
        (b"[" * 60_000, "field"),
        (raw().replace(b'"u1"', b"[" * 60_000), "field"),
        (raw(event_time="9999-12-31T23:59:59-23:59"), "time"),
        (raw(event_time="0001-01-01T00:00:00+23:59"), "time"),
        (raw() + b" " * events.MAX_EVENT_BYTES, "size"),
    ],
)
def test_a_refusal_names_the_class_of_its_reason(message: bytes, kind: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode(message, Interaction, now=NOW)
    assert refused.value.kind == kind


def test_json_that_is_nested_too_deep_is_refused() -> None:
    class Anything(msgspec.Struct):
        value: Any

    with pytest.raises(InvalidEvent, match="nested too deep") as refused:
        decode(b'{"value":' + b"[" * 60_000, Anything, now=NOW)
    assert refused.value.kind == "json"


def test_the_bounds_themselves_are_within_the_contract() -> None:
    longest = "😀" * events.MAX_ID_LENGTH
    event = decode(
        raw(event_time="2026-01-05T13:00:00Z", user_id=longest, quantity=1_000_000, value=1.7976931348623157e308),
        Interaction,
        now=NOW,
    )
    assert (event.user_id, event.event_time) == (longest, NOW + events.MAX_FUTURE)
    assert decode(raw(event_time="1990-01-01T00:00:00Z"), Interaction, now=NOW).event_time == events.EARLIEST
    padded = raw() + b" " * (events.MAX_EVENT_BYTES - len(raw()))
    assert decode(padded, Interaction, now=NOW).event_id == "e1"


def test_of_a_repeated_key_the_last_one_counts() -> None:
    assert decode(raw()[:-1] + b', "user_id": "u2"}', Interaction, now=NOW).user_id == "u2"


REASONS = {"size", "nul", "utf8", "json", "field", "time"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_anything_is_an_event_or_refused(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    message = data.draw(messages(kind))
    try:
        event = decode(message, kind, now=NOW)
    except InvalidEvent as error:
        assert str(error)
        assert error.kind in REASONS
        str(error).encode()  # fit for the dead letter queue
    else:
        assert decode(encode(event), kind, now=NOW, max_bytes=2 * events.MAX_EVENT_BYTES) == event


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"user_id": "a\0"}, "nul"),
        ({"item_id": "x" * 129}, "field"),
        ({"item_id": ""}, "field"),
        ({"request_id": "\ud800"}, "utf8"),
        ({"quantity": 0}, "field"),
        ({"event_time": NOW + timedelta(hours=2)}, "time"),
    ],
)
def test_an_event_that_a_program_built_is_checked_like_one_that_came(changes: dict[str, Any], kind: str) -> None:
    good = decode(raw(value=2.5, position=3), Interaction, now=NOW)
    assert events.check(good, now=NOW) == good
    with pytest.raises(InvalidEvent) as refused:
        events.check(msgspec.structs.replace(good, **changes), now=NOW)
    assert refused.value.kind == kind


@pytest.mark.parametrize("text", ["", "x" * 129, "a\0b", "\udfff", "x" * 128, "é\n/", "\ud7ff\ue000", " "])
def test_an_id_alone_is_judged_as_in_an_event(text: str) -> None:
    built = msgspec.structs.replace(decode(raw(), Interaction, now=NOW), user_id=text)
    refused = False
    try:
        events.check(built, now=NOW)
    except InvalidEvent:
        refused = True
    assert bool(events.id_problem(text)) is refused


def test_the_types_have_the_order_of_the_tables() -> None:
    assert tuple(EventType) == EVENT_TYPES
