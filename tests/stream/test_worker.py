"""What the agents do with a batch, free of Faust: order of the steps, dead letters, waiting, giving up."""

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from graphstore import hot, queries
from graphstore.session import read
from stream import app, events
from stream.app import Worker
from stream.events import milliseconds, utc
from stream.sink import Sink

NOW = 1_767_600_000_000


def record(value: bytes | None, *, key: bytes | None = b"k", offset: int = 0, topic: str = "interactions") -> Any:
    return SimpleNamespace(topic=topic, partition=0, offset=offset, key=key, value=value, timestamp=NOW)


def view(number: int) -> bytes:
    return events.encode(
        events.Interaction(
            event_id=f"e{number}",
            event_type=events.EventType.VIEW,
            user_id="u",
            item_id="i",
            event_time=utc(NOW + number),
        )
    )


class Wire:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes | None, bytes]] = []

    async def send(self, topic: str, key: bytes | None, value: bytes) -> Awaitable[object]:
        self.sent.append((topic, key, value))
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@pytest.fixture
def sink(sqlite_engine: Engine, redis: Redis) -> Sink:
    return Sink(sqlite_engine, redis, recent_items=5, trending_items=5)


def run(worker: Worker, name: str, records: list[Any]) -> None:
    asyncio.run(getattr(worker, name)(records))


def test_good_events_are_stored_and_bad_ones_told(sink: Sink, sqlite_engine: Engine) -> None:
    wire = Wire()
    worker = Worker(sink, wire.send, lambda: NOW)
    run(worker, "on_interactions", [record(view(1)), record(b"{", offset=1), record(None, offset=2), record(view(2))])
    with read(sqlite_engine) as connection:
        assert queries.counts(connection)["interactions"] == 2
    letters = [events.decode(raw, events.DeadLetter, now=utc(NOW)) for topic, _, raw in wire.sent[:2]]
    assert [(letter.offset, letter.raw) for letter in letters] == [(1, b"{"), (2, b"")]
    topic, key, raw = wire.sent[2]
    touched = events.decode(raw, events.UserTouched, now=utc(NOW))
    assert (topic, key, touched.user_id, milliseconds(touched.event_time)) == ("users.touched", b"u", "u", NOW + 2)


def test_a_null_value_deletes_an_item_and_a_bad_key_is_told(sink: Sink, redis: Redis) -> None:
    wire = Wire()
    worker = Worker(sink, wire.send, lambda: NOW)
    tea = events.encode(events.CatalogItem(item_id="i1", title="Tea", event_time=utc(NOW - 5)))
    run(worker, "on_catalog", [record(tea, topic="catalog"), record(None, key=b"i1", topic="catalog")])
    (item,) = hot.get_items(redis, ["i1"])
    assert item is not None
    assert not item.available
    for key in (None, b"", b"\xff", b"x" * 200, b"a\x00b"):
        run(worker, "on_catalog", [record(None, key=key, topic="catalog")])
    assert [topic for topic, _, _ in wire.sent] == ["interactions.dlq"] * 5


def test_a_large_bad_message_is_kept_as_far_as_kafka_takes_it(sink: Sink) -> None:
    wire = Wire()
    run(Worker(sink, wire.send, lambda: NOW), "on_interactions", [record(b"x" * 900_000)])
    ((_, _, raw),) = wire.sent
    letter = events.decode(raw, events.DeadLetter, now=utc(NOW), max_bytes=1_000_000)
    assert letter.raw == b"x" * events.MAX_DEAD_LETTER_BYTES
    assert "900000 bytes" in letter.error


def test_a_database_that_is_away_is_waited_for(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "RETRY_FIRST_SECONDS", 0.001)
    store, failures = sink.store_interactions, [OperationalError("s", {}, Exception("locked"))] * 3

    def sometimes(*args: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return store(*args, **named)

    monkeypatch.setattr(sink, "store_interactions", sometimes)
    wire = Wire()
    run(Worker(sink, wire.send, lambda: NOW), "on_interactions", [record(view(1))])
    assert not failures
    assert [topic for topic, _, _ in wire.sent] == ["users.touched"]


def test_any_other_error_leaves_the_batch_unacknowledged(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise TypeError("a fault of ours")

    monkeypatch.setattr(sink, "store_interactions", broken)
    wire = Wire()
    with pytest.raises(TypeError, match="a fault of ours"):
        run(Worker(sink, wire.send, lambda: NOW), "on_interactions", [record(view(1))])
    assert wire.sent == []


def test_offsets_behind_the_last_record_of_each_partition() -> None:
    records = [record(b"", offset=4), record(b"", offset=9), record(b"", offset=7, topic="catalog")]
    assert app.next_offsets(records) == {"interactions": {0: 10}, "catalog": {0: 8}}
