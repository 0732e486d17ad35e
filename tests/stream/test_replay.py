"""Replay: the same tables and the same Redis as the live events made, on every pair of databases."""

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore import history, queries
from graphstore.history import Selection
from graphstore.redis import hot
from graphstore.session import open_engine, read, write
from graphstore.state import raise_to
from graphstore.tables import COMPACTION_HORIZON
from stream import events, replay
from stream.events import EventType, Identity, Impression, ImpressionItem, Interaction, milliseconds
from stream.replay import Pace, Replayed, batches, fitting, history_events, store, until
from stream.routes import Event
from stream.worker.sink import Sink
from tests.databases import EACH_DATABASE, migrated_sqlite
from tests.stream.worlds import NOW, TIME, hot_content, live, random_events, tables

ALL = Selection()
WORLDS = 4


@pytest.fixture(params=EACH_DATABASE)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A second database, migrated and empty."""
    if request.param == "sqlite":
        url = migrated_sqlite(tmp_path / "again.db")
    else:
        url = request.getfixturevalue("postgres").migrated()
    made = open_engine(url)
    yield made
    made.dispose()


def sink_of(engine: Engine, redis: Redis | None) -> Sink:
    return Sink(engine, redis, recent_items=5, trending_items=5)


def quiet(_: Replayed) -> None:
    return None


def replayed(source: Engine, target: Sink, selection: Selection = ALL) -> Replayed:
    done = store(target, history_events(source, selection), now=lambda: NOW, report=quiet)
    target.refresh_trending(now=NOW)
    return done


def purchases(count: int) -> Iterator[Interaction]:
    for number in range(count):
        yield Interaction(
            event_id=f"e{number}",
            event_type=EventType.PURCHASE,
            user_id=f"u{number % 3}",
            item_id=f"i{number % 5}",
            event_time=TIME + timedelta(seconds=number),
        )


@pytest.mark.parametrize("seed", range(WORLDS))
def test_a_replay_gives_the_same_tables_and_the_same_redis(
    seed: int, engine: Engine, empty: Engine, redis: Redis
) -> None:
    rng = random.Random(seed)
    live(sink_of(engine, redis), random_events(rng, 300), rng)
    expected, expected_hot = tables(engine), hot_content(redis)
    assert all(expected.values())
    redis.flushall()
    done = replayed(engine, sink_of(empty, redis))
    assert tables(empty) == expected
    assert hot_content(redis) == expected_hot
    assert done.stored == done.sent[events.INTERACTIONS] == len(expected["interactions"])
    assert done.rows == history.count_rows(engine, ALL)
    again = replayed(engine, sink_of(empty, redis))
    assert (again.stored, again.duplicate) == (0, done.stored)
    assert tables(empty) == expected
    assert hot_content(redis) == expected_hot


def test_interrupted_and_taken_up_again_it_gives_the_same(engine: Engine, empty: Engine, redis: Redis) -> None:
    rng = random.Random(7)
    live(sink_of(engine, redis), random_events(rng, 300), rng)
    expected, expected_hot = tables(engine), hot_content(redis)
    redis.flushall()
    target = sink_of(empty, redis)
    for stop_after in (3, 40, 150):
        looks = iter([False] * stop_after)
        source = until(lambda looks=looks: next(looks, True), history_events(engine, ALL))  # type: ignore[misc]
        assert store(target, source, now=lambda: NOW, report=quiet).read == stop_after
    began = len(tables(empty)["interactions"])
    assert 0 < began < len(expected["interactions"])
    whole = replayed(engine, target)
    assert (whole.duplicate, whole.stored) == (began, len(expected["interactions"]) - began)
    assert tables(empty) == expected
    assert hot_content(redis) == expected_hot


def test_a_period_and_a_shopper_are_cut_out(engine: Engine, empty: Engine, redis: Redis) -> None:
    sink = sink_of(engine, None)
    shown = [ImpressionItem(item_id="i1", position=0, score=1.0, propensity=1.0, source="batch")]
    for day, user in ((0, "u1"), (1, "s1"), (2, "u1"), (2, "u2")):
        moment = TIME + timedelta(days=day)
        list_of = {"slot": "home", "model_version": "m", "variant": "v", "items": shown}
        sink.store_impressions(
            [Impression(request_id=f"r{day}{user}", user_id=user, event_time=moment, **list_of)], now=NOW
        )
        bought = Interaction(
            event_id=f"e{day}{user}", event_type=EventType.CART, user_id=user, item_id=f"i{day}", event_time=moment
        )
        sink.store_interactions([bought], now=NOW)
    sink.store_items([events.CatalogItem(item_id=f"i{n}", title="Tea", event_time=TIME) for n in range(4)], now=NOW)
    sink.store_identities([Identity(anonymous_id="s1", user_id="u1", event_time=TIME)], now=NOW)
    sink.store_attributes([events.UserAttributes(user_id=user, event_time=TIME) for user in ("u1", "u2")], now=NOW)

    def cut(**chosen: object) -> list[str]:
        found = history_events(engine, Selection(**chosen))  # type: ignore[arg-type]
        names = ("event_id", "request_id", "anonymous_id", "item_id", "user_id")
        return [next(str(getattr(event, name)) for name in names if getattr(event, name, None)) for event in found]

    day = milliseconds(TIME + timedelta(days=1))
    told = ["i0", "i1", "i2", "i3", "u1", "u2", "s1"]
    assert cut(since=day) == [*told, "e1s1", "e2u1", "e2u2", "r1s1", "r2u1", "r2u2"]
    assert cut(before=day) == [*told, "e0u1", "r0u1"]
    assert cut(user_id="u1") == ["i0", "i1", "i2", "u1", "s1", "e0u1", "e1s1", "e2u1", "r0u1", "r1s1", "r2u1"]
    assert cut(user_id="u2", since=day + 1) == ["i2", "u2", "e2u2", "r2u2"]
    assert cut(user_id="nobody") == []
    for chosen in (Selection(since=day), Selection(user_id="u1"), Selection(user_id="nobody")):
        # Lists of one item: as many events as rows.
        assert history.count_rows(engine, chosen) == len(list(history_events(engine, chosen)))


def test_what_is_older_than_the_compaction_is_told_and_not_stored(engine: Engine) -> None:
    with write(engine) as connection:
        raise_to(connection, COMPACTION_HORIZON, NOW)
    done = store(sink_of(engine, None), purchases(3), now=lambda: NOW, report=quiet)
    assert (done.read, done.stored, done.late) == (3, 0, 3)


def test_lists_that_came_in_parts_are_sent_in_parts_that_fit(sqlite_engine: Engine, tmp_path: Path) -> None:
    sink = sink_of(sqlite_engine, None)
    for part in range(3):
        items = [
            ImpressionItem(item_id="é" * 60 + str(n), position=n, score=0.1, propensity=0.1, source="s" * 60)
            for n in range(part * 200, part * 200 + 200)
        ]
        shown = Impression(
            request_id="r", user_id="u", slot="home", event_time=TIME, model_version="m", variant="v", items=items
        )
        assert len(events.encode(shown)) <= events.MAX_EVENT_BYTES
        sink.store_impressions([shown], now=NOW)
    parts = list(history_events(sqlite_engine, ALL))
    assert len(parts) > 1
    for part_of in parts:
        assert events.decode(events.encode(part_of), Impression, now=TIME) == part_of
    again = open_engine(migrated_sqlite(tmp_path / "again.db"))
    replayed(sqlite_engine, sink_of(again, None))
    assert tables(again) == tables(sqlite_engine)
    again.dispose()


def test_a_list_of_one_item_is_never_cut() -> None:
    item = ImpressionItem(item_id="i", position=0, score=1.0, propensity=1.0, source="x" * events.MAX_EVENT_BYTES)
    shown = Impression(
        request_id="r", user_id="u", slot="s", event_time=TIME, model_version="m", variant="v", items=[item]
    )
    assert list(fitting(shown)) == [shown]


def test_everything_is_stored_once_in_batches_and_again_nothing(engine: Engine, redis: Redis) -> None:
    sink = Sink(engine, redis, recent_items=10, trending_items=10)
    seen: list[int] = []
    first = store(sink, purchases(4500), now=lambda: 1, report=lambda done: seen.append(done.read))
    assert (first.read, first.stored, first.duplicate) == (4500, 4500, 0)
    assert seen == [2000, 4000, 4500]
    second = store(sink, purchases(4500), now=lambda: 2, report=quiet)
    assert (second.stored, second.duplicate) == (0, 4500)
    with read(engine) as connection:
        assert queries.counts(connection) == {"users": 3, "items": 5, "edges": 15, "interactions": 4500}
    assert hot.seen(redis, "u0") == {f"i{n}" for n in range(5)}


def test_batches_keep_everything_in_order_and_are_of_one_kind() -> None:
    cut = list(batches(purchases(7), size=3))
    assert [len(batch) for batch in cut] == [3, 3, 1]
    assert [event.event_id for batch in cut for event in batch] == [f"e{n}" for n in range(7)]
    assert list(batches(purchases(0))) == []
    mixed = random_events(random.Random(1), 60)
    cut_mixed: list[list[Event]] = list(batches(mixed, size=4))
    assert [event for batch in cut_mixed for event in batch] == mixed
    assert all(len({type(event) for event in batch}) == 1 for batch in cut_mixed)


def test_a_batch_is_bounded_by_its_rows() -> None:
    items = [ImpressionItem(item_id="i", position=place, score=1.0, propensity=1.0, source="s") for place in range(10)]
    shown = Impression(
        request_id="r", user_id="u", slot="s", event_time=TIME, model_version="m", variant="v", items=items
    )
    assert [len(batch) for batch in batches([shown] * 7, size=25)] == [3, 3, 1]


def test_a_rate_is_kept_roughly_and_in_small_batches() -> None:
    assert Pace(0).batch_events == replay.BATCH_EVENTS
    assert Pace(8).batch_events == 2
    assert Pace(0.1).batch_events == 1
    assert Pace(10**9).batch_events == replay.BATCH_EVENTS
    Pace(0).wait(10**9)  # no rate, no waiting
    slept: list[float] = []
    pace = Pace(100, slept.append)
    for done in (50, 200):
        pace.wait(done)
    # The clock stood still but for the test's own time, which is little against seconds.
    assert slept == pytest.approx([0.5, 2.0], abs=0.4)


def test_a_replay_at_a_rate_takes_its_time(sqlite_engine: Engine) -> None:
    began = time.monotonic()
    store(sink_of(sqlite_engine, None), purchases(60), now=lambda: 1, report=quiet, pace=Pace(100))
    assert time.monotonic() - began >= 0.55


def test_every_kind_that_history_holds_has_its_topic() -> None:
    for kind, route in replay.ROUTES.items():
        assert route.key in {field.name for field in msgspec.structs.fields(kind)}
    assert len({route.topic for route in replay.ROUTES.values()}) == len(replay.ROUTES)
