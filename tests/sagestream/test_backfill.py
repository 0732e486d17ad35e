"""Backfill: everything once, in batches, through the sink that live events take."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from redis import Redis
from sqlalchemy import Engine

from graphstore import hot, queries
from graphstore.session import read
from sagestream import backfill
from sagestream.backfill import Pace
from stream.events import EventType, Interaction
from stream.sink import Sink

TIME = datetime(2026, 1, 1, tzinfo=UTC)


def events(count: int) -> Iterator[Interaction]:
    for number in range(count):
        yield Interaction(
            event_id=f"e{number}",
            event_type=EventType.PURCHASE,
            user_id=f"u{number % 3}",
            item_id=f"i{number % 5}",
            event_time=TIME + timedelta(seconds=number),
        )


def test_a_backfill_stores_all_and_again_nothing(engine: Engine, redis: Redis) -> None:
    sink = Sink(engine, redis, recent_items=10, trending_items=10)
    seen: list[int] = []
    first = backfill.store(sink, events(4500), now=lambda: 1, report=seen.append)
    assert (first.read, first.stored, first.duplicate) == (4500, 4500, 0)
    assert seen == [2000, 4000, 4500]
    second = backfill.store(sink, events(4500), now=lambda: 2, report=seen.append)
    assert (second.stored, second.duplicate) == (0, 4500)
    with read(engine) as connection:
        assert queries.counts(connection) == {"users": 3, "items": 5, "edges": 15, "interactions": 4500}
    assert hot.seen(redis, "u0") == {f"i{n}" for n in range(5)}


def test_batches_keep_everything_in_order() -> None:
    cut = list(backfill.batches(events(7), size=3))
    assert [len(batch) for batch in cut] == [3, 3, 1]
    assert [event.event_id for batch in cut for event in batch] == [f"e{n}" for n in range(7)]
    assert list(backfill.batches(events(0))) == []


def test_no_rate_means_no_waiting() -> None:
    Pace(0).wait(10**9)
