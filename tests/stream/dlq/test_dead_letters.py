"""Which records are no events, and how they are kept."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from stream import events
from stream.dlq import dead_letters
from stream.dlq.dead_letters import KINDS, Tombstone, count, letters, read
from stream.events import utc
from stream.kafka.topics import PRODUCER_HEADER
from stream.kafka.unreadable_batches import UnreadableBatch

NOW = 1_767_600_000_000


def record(value: bytes | None, *, key: bytes | None = b"k", offset: int = 0, topic: str = "interactions") -> Any:
    return SimpleNamespace(
        topic=topic, partition=3, offset=offset, key=key, value=value, timestamp=NOW + offset, headers=()
    )


def view(**fields: object) -> bytes:
    given = {
        "event_id": "e1",
        "event_type": "view",
        "user_id": "u",
        "item_id": "i",
        "event_time": utc(NOW),
        **fields,
    }
    return msgspec.json.encode({name: value for name, value in given.items() if value is not None})


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (b"{", "json", "truncated"),
        (b"", "json", "truncated"),
        (None, "json", "truncated"),
        (b"\xff\xfe", "json", "malformed"),
        (view(user_id="u") + b"x", "json", "trailing"),
        (view().replace(b'"u"', b'"\xff"'), "utf8", "can't decode byte 0xff"),
        (view(user_id=None), "field", "missing required field `user_id`"),
        (view(user_id="u" * 129), "field", "length <= 128"),
        (view(colour="red"), "field", "unknown field `colour`"),
        (view(quantity=-1), "field", "> 0"),
        (view(event_type="fly"), "field", "Invalid enum value"),
        (view(event_time="yesterday"), "field", "RFC3339"),
        (view(event_time=utc(NOW) + timedelta(hours=2)), "time", "in the future"),
        (view(event_time=utc(0)), "time", "before 1990"),
        (view(request_id="x" * 70_000), "size", "over the bound of 65536"),
        (view(user_id="a\x00b"), "nul", "NUL"),
    ],
)
def test_the_classes_of_reasons(value: bytes | None, kind: str, said: str) -> None:
    found = read([record(value)], events.Interaction, now=NOW)
    ((index, at, given, reason),) = found.bad
    assert (index, at.partition, given) == (0, 3, kind)
    assert said in reason
    assert given in KINDS
    assert found.good == found.sources == []


def test_a_batch_that_cannot_be_unpacked_is_one_letter_with_its_offsets() -> None:
    batch = UnreadableBatch(b"damaged")
    batch.reason, batch.first_offset, batch.last_offset = "its checksum is wrong", 20, 39
    records = [record(view()), record(batch, offset=39)]
    for deletes in (False, True):
        found = read(records, events.Interaction, now=NOW, deletes=deletes)
        assert len(found.good) == 1
        assert [(bad.kind, bad.batch_index) for bad in found.bad] == [("unreadable", 1)]
    assert "the messages from offset 20 to 39 cannot be unpacked (its checksum is wrong)" in found.bad[0].reason
    (message,) = letters(found.bad, now=NOW)
    letter = events.decode(message.value, events.DeadLetter, now=utc(NOW))
    assert (letter.raw, letter.partition, letter.offset) == (b"damaged", 3, 39)


def test_the_good_ones_keep_their_records() -> None:
    records = [record(b"{"), record(view(event_id="a")), record(b"["), record(view(event_id="b"))]
    found = read(records, events.Interaction, now=NOW)
    assert [(event.event_id, index) for event, (index, _) in zip(found.good, found.sources, strict=True)] == [  # type: ignore[union-attr]
        ("a", 1),
        ("b", 3),
    ]
    assert [at for _, at in found.sources] == [records[1], records[3]]
    assert [bad.batch_index for bad in found.bad] == [0, 2]


def test_a_null_value_is_a_delete_where_deletes_are_meant() -> None:
    tea = events.encode(events.CatalogItem(item_id="i1", title="Tea", event_time=utc(NOW)))
    records = [record(tea), record(None, key=b"i1", offset=7)]
    found = read(records, events.CatalogItem, now=NOW, deletes=True)
    assert found.good[1] == Tombstone("i1", NOW + 7)
    assert not found.bad


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"x" * 200, b"a\x00b"])
def test_a_delete_without_an_id_is_bad(key: bytes | None) -> None:
    found = read([record(None, key=key)], events.CatalogItem, now=NOW, deletes=True)
    assert [bad.kind for bad in found.bad] == ["key"]
    assert "key of a delete" in found.bad[0].reason


def test_a_letter_holds_the_bytes_the_place_and_the_reason() -> None:
    found = read([record(b"{", key=b"u1", offset=12)], events.Interaction, now=NOW)
    (message,) = letters(found.bad, now=NOW)
    assert (message.topic, message.key) == (events.DEAD_LETTERS, b"u1")
    letter = events.decode(message.value, events.DeadLetter, now=utc(NOW))
    assert (letter.raw, letter.topic, letter.partition, letter.offset) == (b"{", "interactions", 3, 12)
    assert (letter.error, letter.first_seen) == (found.bad[0].reason, utc(NOW))


def test_a_large_bad_message_is_kept_as_far_as_kafka_takes_it() -> None:
    found = read([record(b"x" * 900_000, key=b"k" * 5000)], events.Interaction, now=NOW)
    (message,) = letters(found.bad, now=NOW)
    letter = events.decode(message.value, events.DeadLetter, now=utc(NOW), max_bytes=1_000_000)
    assert letter.raw == b"x" * events.MAX_DEAD_LETTER_BYTES
    assert "900000 bytes" in letter.error
    assert message.key == b"k" * events.MAX_TEXT_LENGTH


def test_dead_letters_are_counted_by_reason() -> None:
    def counted(reason: str) -> float:
        labels = {"topic": "seen", "reason": reason}
        return REGISTRY.get_sample_value("sagestream_dead_letters_total", labels) or 0.0

    before = [counted(reason) for reason in ("json", "field", "time")]
    bad = read([record(b"{", topic="seen")] * 2 + [record(view(colour=1), topic="seen")], events.Interaction, now=NOW)
    count(bad.bad)
    after = [counted(reason) for reason in ("json", "field", "time")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1, 0]
    assert dead_letters.letters([], now=NOW) == []


def test_a_letter_keeps_the_name_of_the_producer() -> None:
    named, unnamed = record(b"{"), record(b"{", offset=1)
    named.headers = [("other", b"x"), (PRODUCER_HEADER, b"kasse-3" * 20), (PRODUCER_HEADER, b"second")]
    unnamed.headers = [(PRODUCER_HEADER, b"")]
    found = letters(read([named, unnamed], events.Interaction, now=NOW).bad, now=NOW)
    assert [list(one.headers) for one in found] == [[(PRODUCER_HEADER, (b"kasse-3" * 20)[:64])], []]
