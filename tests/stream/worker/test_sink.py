"""The sink: SQL first, then Redis, and the same batch again heals whatever came between."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, delete, select

from graphstore import queries
from graphstore.erase import erase_person
from graphstore.redis import hot, item_store
from graphstore.session import read, write
from graphstore.tables import HOUR_MS, impressions, seen_items, stream_progress
from stream import events
from stream.events import milliseconds
from stream.worker.sink import EVENT_TYPE_CODES, TRENDING_IDLE_MS, Sink

TIME = datetime(2026, 1, 5, 12, tzinfo=UTC)
NOW = milliseconds(TIME)


def bought(number: int, user: str = "u", item: str = "i") -> events.Interaction:
    return events.Interaction(
        event_id=f"e{number}", event_type=events.EventType.PURCHASE, user_id=user, item_id=item, event_time=TIME
    )


@pytest.fixture
def sink(engine: Engine, redis: Redis) -> Sink:
    return Sink(engine, redis, recent_items=5, trending_items=5)


def test_a_batch_reaches_sql_redis_and_the_progress(sink: Sink, engine: Engine, redis: Redis) -> None:
    stored = sink.store_interactions([bought(1), bought(2, "v"), bought(1)], now=NOW, progress={"interactions": {0: 3}})
    assert (stored.stored, stored.duplicate, stored.touched) == (2, 1, {"u": NOW, "v": NOW})
    assert hot.recent(redis, "u", 5) == [("i", NOW)]
    with read(engine) as connection:
        (row,) = connection.execute(select(stream_progress)).all()
    assert (row.topic, row.partition, row.next_offset) == ("interactions", 0, 3)


def test_a_batch_that_comes_again_heals_redis(sink: Sink, redis: Redis) -> None:
    sink.store_interactions([bought(1)], now=NOW)
    redis.flushall()  # as if the worker had been killed between SQL and Redis
    again = sink.store_interactions([bought(1)], now=NOW)
    assert (again.stored, again.duplicate, again.touched) == (0, 1, {"u": NOW})
    assert hot.seen(redis, "u") == {"i"}


def test_an_older_catalogue_row_shows_the_newer_one(sink: Sink, redis: Redis) -> None:
    new = events.CatalogItem(item_id="i", title="New", event_time=TIME)
    old = events.CatalogItem(item_id="i", title="Old", event_time=datetime(2020, 1, 1, tzinfo=UTC))
    for batch in ([new], [old]):
        sink.store_items(batch, now=NOW)
        (item,) = item_store.get_items(redis, ["i"])
        assert item is not None
        assert item.title == "New"
    sink.store_items([], {"i": NOW + 1}, now=NOW)
    (gone,) = item_store.get_items(redis, ["i"])
    assert gone is not None
    assert not gone.available


@pytest.mark.parametrize("lost", [False, True])
def test_two_workers_with_one_item_leave_the_newer_row(
    sink: Sink, engine: Engine, redis: Redis, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    # An entry and a change of an item are messages of two topics, so two workers may hold them at one time.
    other = Sink(engine, None if lost else redis)
    written = item_store.set_items

    def late(*args: Any) -> None:
        monkeypatch.setattr(item_store, "set_items", written)
        other.store_items([events.ItemChange(item_id="i", stock=0, event_time=TIME + timedelta(seconds=1))], now=NOW)
        written(*args)

    monkeypatch.setattr(item_store, "set_items", late)
    sink.store_items([events.CatalogItem(item_id="i", title="Tea", stock=4, event_time=TIME)], now=NOW)
    (item,) = item_store.get_items(redis, ["i"])
    assert item is not None
    assert (item.title, item.stock, item.available) == ("Tea", 0, False)


def test_a_change_shows_beside_what_was_known(sink: Sink, redis: Redis) -> None:
    entry = events.CatalogItem(item_id="i", title="Tea", price=2.5, stock=4, event_time=TIME)
    later, sooner = TIME + timedelta(seconds=2), TIME + timedelta(seconds=1)
    sold_out = events.ItemChange(item_id="i", stock=0, attributes={"offer": True}, event_time=later)
    sink.store_items([sold_out], now=NOW)
    sink.store_items([entry, events.ItemChange(item_id="i", stock=9, event_time=sooner)], now=NOW)
    (item,) = item_store.get_items(redis, ["i"])
    assert item is not None
    assert (item.title, item.price, item.stock, item.available) == ("Tea", 2.5, 0, False)
    assert item.attributes == {"offer": True}


def test_impressions_keep_every_place(sink: Sink, engine: Engine) -> None:
    items = [
        events.ImpressionItem(item_id=f"i{place}", position=place, score=0.5, propensity=1.0, source="batch")
        for place in range(3)
    ]
    shown = events.Impression(
        request_id="r",
        user_id="u",
        slot="home",
        event_time=TIME,
        model_version="m",
        variant="champion",
        items=items,
    )
    sink.store_impressions([shown, shown], now=NOW)
    with read(engine) as connection:
        rows = connection.execute(select(impressions).order_by(impressions.c.position)).all()
    assert [(row.position, row.item_id, row.event_time) for row in rows] == [(n, f"i{n}", NOW) for n in range(3)]


def test_what_is_seen_twice_counts_once_and_from_the_first_time(sink: Sink, engine: Engine) -> None:
    looks = [
        events.Seen(request_id="r", user_id=user, positions=positions, event_time=events.utc(NOW + after))
        for user, positions, after in [("b", [0, 1, 1], 5), ("a", [1, 2], 5), ("z", [2], 0)]
    ]
    for order in (looks, looks[::-1], [*looks, *looks]):
        with write(engine) as connection:
            connection.execute(delete(seen_items))
        sink.store_seen(order, now=NOW)
        with read(engine) as connection:
            rows = connection.execute(select(seen_items).order_by(seen_items.c.position)).all()
        assert rows == [("r", 0, "b", NOW + 5), ("r", 1, "a", NOW + 5), ("r", 2, "z", NOW)]


def test_trending_follows_the_hours(sink: Sink, redis: Redis) -> None:
    sink.store_interactions([bought(1, item="a"), bought(2, item="a"), bought(3, item="b")], now=NOW)
    sink.refresh_trending(now=NOW)
    assert hot.trending(redis, "1h", 5) == [("a", 2.0), ("b", 1.0)]
    redis.delete(hot.trending_key("1h"))
    sink.refresh_trending(now=NOW + 5_000)  # nothing new: the database is not asked
    assert hot.trending(redis, "1h", 5) == []
    sink.refresh_trending(now=NOW + TRENDING_IDLE_MS)
    assert hot.trending(redis, "1h", 5) == [("a", 2.0), ("b", 1.0)]
    sink.store_interactions([bought(4, item="c")], now=NOW)
    sink.refresh_trending(now=NOW + TRENDING_IDLE_MS)
    assert hot.trending(redis, "1h", 5) == [("a", 2.0), ("c", 1.0), ("b", 1.0)]
    sink.refresh_trending(now=NOW + 2 * HOUR_MS)
    assert hot.trending(redis, "1h", 5) == []
    assert hot.trending(redis, "24h", 5) == [("a", 2.0), ("c", 1.0), ("b", 1.0)]


def test_without_redis_only_sql_is_written(engine: Engine) -> None:
    sink = Sink(engine, None, recent_items=5, trending_items=5)
    sink.store_interactions([bought(1)], now=NOW)
    sink.refresh_trending(now=NOW)
    with read(engine) as connection:
        assert queries.counts(connection)["interactions"] == 1


def test_every_event_type_has_its_code() -> None:
    assert sorted(EVENT_TYPE_CODES.values()) == list(range(len(events.EventType)))


def login(session: str, user: str) -> events.Identity:
    return events.Identity(anonymous_id=session, user_id=user, event_time=TIME)


@pytest.mark.parametrize("change", ["erasure", "login"])
def test_who_is_forgotten_or_logs_in_between_sql_and_redis_leaves_no_keys(
    sink: Sink, engine: Engine, redis: Redis, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    record = hot.record

    def late(*arguments: Any, **settings: Any) -> None:
        if change == "erasure":
            hot.forget(redis, erase_person(engine, "u", now=NOW).ids)
        else:
            sink.store_identities([login("u", "v")], now=NOW)
        record(*arguments, **settings)

    monkeypatch.setattr(hot, "record", late)
    sink.store_interactions([bought(1), bought(2, "v", "j")], now=NOW)
    assert not redis.exists(hot.recent_key("u"), hot.seen_key("u"))
    assert hot.seen(redis, "v") == ({"j"} if change == "erasure" else {"i", "j"})


@pytest.mark.parametrize("change", ["erasure", "login"])
def test_what_a_killed_worker_left_of_them_goes_when_the_batch_comes_again(
    sink: Sink, engine: Engine, redis: Redis, change: str
) -> None:
    sink.store_interactions([bought(1), bought(2, "v", "j")], now=NOW)
    if change == "erasure":
        erase_person(engine, "u", now=NOW)
    else:
        sink.store_identities([login("u", "v")], now=NOW)
    hot.record(redis, [("u", "i", NOW)], keep=5)  # the worker wrote it, and was killed before it looked again
    again = sink.store_interactions([bought(1), bought(2, "v", "j")], now=NOW)
    assert set(again.touched) == {"v"}
    assert not redis.exists(hot.recent_key("u"), hot.seen_key("u"))
    assert hot.seen(redis, "v") == ({"j"} if change == "erasure" else {"i", "j"})
