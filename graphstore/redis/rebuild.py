"""Rebuilds Redis from SQL while other processes run.

Arrives: the tables. Leaves: the keys of persons, `item:`, `item_ids` and `trending:` as the live path writes them, and
the mark `graphstore.redis.marks.COMPLETE`. Next: `serving.publisher` writes the lists again, and those of the shop.

A flushed Redis has no mark; a worker sees that (`rebuild_if_incomplete`). Only one rebuild runs at a time. It holds a
lock in Redis that expires after a kill. When Redis is flushed during the rebuild, the lock is gone and the rebuild
starts again. `graphstore.redis.rebuild_people` and `graphstore.redis.rebuild_items` explain why a rebuild and a live
worker do not overwrite each other's newer data.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from redis import Redis
from sqlalchemy import Engine

from graphstore.errors import UserError
from graphstore.redis import fence
from graphstore.redis.hot import HOT_LIMITS, HotLimits
from graphstore.redis.lifetime import Lifetime
from graphstore.redis.marks import COMPLETE, LOCK
from graphstore.redis.rebuild_items import rebuild_items
from graphstore.redis.rebuild_people import count_persons, rebuild_people
from graphstore.redis.trending import refresh_trending
from graphstore.session import read
from graphstore.state import people_generation

LOCK_SECONDS = 60

_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
_FINISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[1])
return 1
"""


class RebuildRunning(UserError):
    """Another process is rebuilding Redis."""


class _Flushed(Exception):
    """Redis lost its content while it was being rebuilt."""


@dataclass(frozen=True)
class Rebuilt:
    """The result of a rebuild. `removed` counts keys and fields that SQL does not know."""

    persons: int
    edges: int
    items: int
    removed: int


def is_complete(redis: Redis) -> bool:
    """Return whether Redis is complete."""
    return bool(redis.exists(COMPLETE))


def rebuild_if_incomplete(
    engine: Engine,
    redis: Redis,
    *,
    now: Callable[[], int],
    limits: HotLimits = HOT_LIMITS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> bool:
    """Rebuild when the mark is missing and no other process rebuilds; return whether it was done. See `rebuild`.

    A thread of the worker calls it every few seconds. On an empty graph it takes milliseconds.
    """
    if is_complete(redis):
        return False
    try:
        rebuild(engine, redis, now=now, limits=limits, progress=progress)
    except RebuildRunning:
        return False
    return True


def rebuild(
    engine: Engine,
    redis: Redis,
    *,
    now: Callable[[], int],
    limits: HotLimits = HOT_LIMITS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Rebuilt:
    """Write all keys from SQL and remove keys that SQL does not know. Memory is bounded by one page of users.

    Calls `progress(persons done, all persons)` often; it may raise to stop the rebuild, and the mark then stays
    missing. `now` returns epoch ms. Raises `RebuildRunning`, `sqlalchemy.exc.DBAPIError`, `redis.RedisError`.
    """
    while True:
        token = secrets.token_hex(8)
        if not redis.set(LOCK, token, nx=True, ex=LOCK_SECONDS):
            raise RebuildRunning(f"another process is rebuilding Redis, or died less than {LOCK_SECONDS} s ago")
        try:
            redis.delete(COMPLETE)  # after a kill from here on, the next worker rebuilds
            done = _rebuild(engine, redis, token, now, limits, progress)
            if redis.register_script(_FINISH)(keys=[LOCK, COMPLETE], args=[token, now()]):
                return done
        except _Flushed:
            continue
        finally:
            redis.register_script(_RELEASE)(keys=[LOCK], args=[token])


def _rebuild(
    engine: Engine,
    redis: Redis,
    token: str,
    now: Callable[[], int],
    limits: HotLimits,
    progress: Callable[[int, int], None],
) -> Rebuilt:
    renew = redis.register_script(_RENEW)
    total = count_persons(engine)

    def alive(done: int) -> None:
        if not renew(keys=[LOCK], args=[token, LOCK_SECONDS]):
            raise _Flushed
        progress(done, total)

    with read(engine) as connection:
        generation = people_generation(connection)
    fence.raise_to(redis, generation)  # a flush took the fence away
    # Items first, because the lists of users name them.
    items = rebuild_items(engine, redis, alive=lambda: alive(0))
    people = rebuild_people(
        engine, redis, keep=limits.recent_items, lifetime=lambda: Lifetime(now(), limits.visitor_days), alive=alive
    )
    refresh_trending(engine, redis, now=now(), keep=limits.trending_items)
    return Rebuilt(people.persons, people.edges, items.items, people.removed + items.removed)
