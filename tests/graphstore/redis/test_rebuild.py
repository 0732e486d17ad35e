"""Redis from SQL: the same content as the live path left, whoever else is writing, and healed after a flush."""

import random
import threading
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, insert

from graphstore.catalogue import Item
from graphstore.erase import erase_person, find_person
from graphstore.redis import hot, item_store, rebuild
from graphstore.redis.changes import CHANGED, COUNTER
from graphstore.redis.fence import FENCE
from graphstore.redis.marks import COMPLETE
from graphstore.redis.rebuild import LOCK, RebuildRunning, Rebuilt, is_complete, rebuild_if_incomplete
from graphstore.session import write
from graphstore.tables import models
from stream.events import milliseconds
from stream.worker.sink import Sink
from tests.graphstore.redis.memory import read_memory
from tests.stream.worlds import NOW as AFTER
from tests.stream.worlds import TIME, live, random_events

KEEP = 5
LIMITS = hot.HotLimits(KEEP, KEEP, visitor_days=60)
NOW = milliseconds(TIME + timedelta(days=25))


def content(redis: Redis) -> dict[bytes, Any]:
    """Every key but those of the rebuild itself, the numbers of changes (a rebuild tells readers of each item), and
    `shown:`, which forgets with the items that `recent:` forgets."""
    found: dict[bytes, Any] = {}
    for key in sorted(set(redis.keys()) - {name.encode() for name in (COMPLETE, FENCE, CHANGED, COUNTER)}):
        kind = redis.type(key)
        if key.startswith(b"shown:"):
            continue
        if kind == b"zset":
            found[key] = redis.zrange(key, 0, -1, withscores=True)
        elif kind == b"set":
            found[key] = redis.smembers(key)
        elif kind == b"hash":
            found[key] = redis.hgetall(key)
        else:
            found[key] = redis.get(key)
    return found


def sink_of(engine: Engine, redis: Redis) -> Sink:
    return Sink(engine, redis, recent_items=KEEP, trending_items=KEEP, visitor_days=LIMITS.visitor_days)


def fill(engine: Engine, redis: Redis, seed: int, count: int) -> None:
    """A random world through the live path."""
    rng = random.Random(seed)
    live(sink_of(engine, redis), random_events(rng, count), rng)
    sink_of(engine, redis).refresh_trending(now=NOW)


def run(engine: Engine, redis: Redis, **changed: Any) -> Rebuilt:
    settings = {"now": lambda: NOW, "limits": LIMITS, **changed}
    return rebuild.rebuild(engine, redis, **settings)


def heal(engine: Engine, redis: Redis) -> bool:
    return rebuild_if_incomplete(engine, redis, now=lambda: NOW, limits=LIMITS)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small worlds have many."""
    monkeypatch.setattr("graphstore.redis.rebuild_people.PAGE_PERSONS", 3)
    monkeypatch.setattr("graphstore.redis.rebuild_people.SCAN_COUNT", 3)
    monkeypatch.setattr("graphstore.redis.rebuild_items.PAGE_ITEMS", 3)
    monkeypatch.setattr("graphstore.redis.rebuild_items.SCAN_COUNT", 3)
    monkeypatch.setattr("graphstore.redis.hot.RECORD_TOUCHES", 4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.usefixtures("small_pages")
def test_a_random_world_comes_back_as_the_live_path_left_it(engine: Engine, redis: Redis, seed: int) -> None:
    fill(engine, redis, seed, 300)
    gone = find_person(engine, "u2").ids
    erase_person(engine, "u2", now=NOW)
    hot.forget(redis, gone)
    sink_of(engine, redis).refresh_trending(now=NOW)
    left = content(redis)
    assert {key.partition(b":")[0] for key in left} == {
        *(b"recent", b"seen", b"bought", b"trending"),
        *(b"item", b"item_ids", b"newest_items"),
    }
    redis.flushall()
    done = run(engine, redis)
    assert content(redis) == left
    assert done.removed == 0
    assert run(engine, redis) == done
    assert content(redis) == left


@pytest.mark.parametrize("seed", range(5))
def test_what_was_shown_comes_back(sqlite_engine: Engine, redis: Redis, seed: int) -> None:
    rng = random.Random(seed)
    live(Sink(sqlite_engine, redis), random_events(rng, 600), rng)
    users = sorted(key.decode().removeprefix("recent:") for key in redis.keys("recent:*"))
    left = {user: read_memory(redis, user, now=AFTER) for user in users}
    assert any(memory.shown for memory in left.values())
    redis.flushall()
    rebuild.rebuild(sqlite_engine, redis, now=lambda: AFTER)
    assert {user: read_memory(redis, user, now=AFTER) for user in users} == left


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("small_pages")
def test_what_sql_does_not_know_goes(sqlite_engine: Engine, redis: Redis, seed: int) -> None:
    fill(sqlite_engine, redis, seed, 200)
    left = content(redis)
    some = sorted(key.decode().removeprefix("seen:") for key in left if key.startswith(b"seen:"))[:4]
    hot.record(redis, [(user, "of no shop", 5 + n) for n, user in enumerate(some)], keep=KEEP)
    hot.record(redis, [(user, "of no shop", 2 * NOW) for user in ("nobody", *some[:1])], keep=KEEP)
    redis.sadd(hot.seen_key("only seen"), "i1")
    redis.delete(hot.recent_key(some[3]))
    redis.zadd(hot.recent_key(some[2]), {member: 9 * NOW for member, _ in left[f"recent:{some[2]}".encode()]})
    item_store.set_items(redis, [Item(10_000 + n, f"gone{n}") for n in range(9)])
    redis.hset(item_store.ITEM_IDS, "99999999999999999999", "foreign")
    redis.set(b"item:\xff", b"foreign")
    redis.sadd(b"seen:\xff", b"foreign")
    done = run(sqlite_engine, redis)
    assert done.removed == 2 + 1 + 9 + 9  # nobody's keys, a key that is only seen, items, their fields
    assert redis.delete(b"item:\xff", b"seen:\xff") == 2  # no key of ours: left alone
    assert redis.hdel(item_store.ITEM_IDS, "99999999999999999999") == 1
    assert content(redis) == left


@pytest.mark.usefixtures("small_pages")
def test_beside_a_worker_and_erasures_nothing_is_lost_and_nothing_comes_back(engine: Engine, redis: Redis) -> None:
    rng = random.Random(11)
    history = random_events(rng, 900)
    sink = sink_of(engine, redis)
    live(sink, history[:300], rng)
    redis.flushall()
    worker = threading.Thread(target=live, args=(sink, history[300:], rng))
    gone: list[str] = []

    def erase() -> None:
        for user in ("u1", "nobody", "u3"):
            ids = erase_person(engine, user, now=NOW).ids
            hot.forget(redis, ids)
            gone.extend(ids)

    others = [worker, threading.Thread(target=erase)]
    for thread in others:
        thread.start()
    rounds = 0
    while any(thread.is_alive() for thread in others) or not rounds:
        run(engine, redis)
        rounds += 1
    for thread in others:
        thread.join()
    assert not redis.exists(*(key(user) for user in gone for key in (hot.recent_key, hot.seen_key)))
    sink.refresh_trending(now=NOW)
    beside = content(redis)
    redis.flushall()
    run(engine, redis)
    assert content(redis) == beside


def test_items_that_only_events_named_are_there_where_a_model_is_served(sqlite_engine: Engine, redis: Redis) -> None:
    fill(sqlite_engine, redis, 3, 60)
    catalogued = redis.hlen(item_store.ITEM_IDS)
    assert run(sqlite_engine, redis).items == catalogued
    with write(sqlite_engine) as connection:
        row = {"model_version": "m1", "kind": "k", "status": "champion", "snapshot_id": "s", "bundle": "b"}
        connection.execute(insert(models).values(**row, created_at=0))
    assert run(sqlite_engine, redis).items == redis.hlen(item_store.ITEM_IDS) > catalogued


def test_a_flushed_redis_heals_once(sqlite_engine: Engine, redis: Redis) -> None:
    assert heal(sqlite_engine, redis)  # the first start, on an empty graph
    assert is_complete(redis)
    fill(sqlite_engine, redis, 4, 100)
    left = content(redis)
    assert not heal(sqlite_engine, redis)
    redis.flushall()
    assert not is_complete(redis)
    assert heal(sqlite_engine, redis)
    assert content(redis) == left
    assert redis.get(COMPLETE) == str(NOW).encode()
    assert not redis.exists(LOCK)


def test_one_at_a_time(sqlite_engine: Engine, redis: Redis) -> None:
    redis.set(LOCK, "somebody")
    with pytest.raises(RebuildRunning):
        run(sqlite_engine, redis)
    assert not heal(sqlite_engine, redis)
    assert redis.get(LOCK) == b"somebody"


def test_a_rebuild_that_is_stopped_leaves_no_mark(sqlite_engine: Engine, redis: Redis) -> None:
    fill(sqlite_engine, redis, 5, 50)
    redis.set(COMPLETE, "1")

    def stop(done: int, total: int) -> None:
        assert redis.ttl(LOCK) > 0
        if done:
            assert done <= total
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(sqlite_engine, redis, progress=stop)
    assert not is_complete(redis)
    assert heal(sqlite_engine, redis)


@pytest.mark.usefixtures("small_pages")
def test_flushed_again_in_the_middle_it_begins_anew(sqlite_engine: Engine, redis: Redis) -> None:
    fill(sqlite_engine, redis, 6, 100)
    left = content(redis)
    flushes = [2, 0]

    def flush(done: int, total: int) -> None:
        if flushes[0] and done >= 3:
            flushes[0] -= 1
            redis.flushall()

    run(sqlite_engine, redis, progress=flush)
    assert flushes[0] == 0
    assert content(redis) == left
    assert is_complete(redis)
