"""Redis rebuilt from SQL, beside whatever else is running.

Arrives: the tables. Leaves: `recent:`, `seen:`, `item:`, `item_ids` and `trending:` as the live path leaves them, and
the mark `hot:complete`. Next: readers and workers go on; `serving.publisher` brings the lists back.

A Redis that was flushed has lost the mark, which is how a worker notices (`rebuild_if_incomplete`). One rebuild at a
time: it holds a lock that expires when it dies, and lives only as long as Redis is not flushed again under it, in which
case it begins anew. `graphstore.redis.rebuild_people` and `graphstore.redis.rebuild_items` say why a rebuild and a live
worker cannot spoil each other's work.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from redis import Redis
from sqlalchemy import Engine

from graphstore.redis.rebuild_items import rebuild_items
from graphstore.redis.rebuild_people import count_persons, rebuild_people
from graphstore.redis.trending import refresh_trending

COMPLETE = "hot:complete"
"""The time (epoch ms) since which Redis holds everything; missing: it was flushed, or never filled."""

LOCK = "hot:rebuilding"
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


class RebuildRunning(RuntimeError):
    """Another process is rebuilding Redis."""


class _Flushed(Exception):
    """Redis lost its content while it was being rebuilt."""


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild wrote, and how many keys and fields it `removed` because SQL does not know them."""

    persons: int
    edges: int
    items: int
    removed: int


def is_complete(redis: Redis) -> bool:
    """Whether Redis holds everything that it should."""
    return bool(redis.exists(COMPLETE))


def rebuild_if_incomplete(
    engine: Engine,
    redis: Redis,
    *,
    now: Callable[[], int],
    recent_items: int,
    trending_items: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> bool:
    """Rebuild where the mark is missing and nobody else is at it; whether it was done. As `rebuild`.

    On an empty graph it takes milliseconds. Meant for a thread of a worker, every few seconds.
    """
    if is_complete(redis):
        return False
    try:
        rebuild(engine, redis, now=now, recent_items=recent_items, trending_items=trending_items, progress=progress)
    except RebuildRunning:
        return False
    return True


def rebuild(
    engine: Engine,
    redis: Redis,
    *,
    now: Callable[[], int],
    recent_items: int,
    trending_items: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Rebuilt:
    """Write everything anew from SQL and remove what SQL does not know. Memory is bounded by a page of shoppers.

    `progress(persons done, of all)` is called often and may raise to stop; the mark is missing then. `now` gives epoch
    ms. Raises `RebuildRunning`, `sqlalchemy.exc.DBAPIError`, `redis.RedisError`.
    """
    while True:
        token = secrets.token_hex(8)
        if not redis.set(LOCK, token, nx=True, ex=LOCK_SECONDS):
            raise RebuildRunning(f"another process is rebuilding Redis, or died less than {LOCK_SECONDS} s ago")
        try:
            redis.delete(COMPLETE)  # killed from here on, the next worker does it
            done = _rebuild(engine, redis, token, now, recent_items, trending_items, progress)
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
    recent_items: int,
    trending_items: int,
    progress: Callable[[int, int], None],
) -> Rebuilt:
    renew = redis.register_script(_RENEW)
    total = count_persons(engine)

    def alive(done: int) -> None:
        if not renew(keys=[LOCK], args=[token, LOCK_SECONDS]):
            raise _Flushed
        progress(done, total)

    # Items first: lists of people name them.
    items = rebuild_items(engine, redis, alive=lambda: alive(0))
    people = rebuild_people(engine, redis, keep=recent_items, alive=alive)
    refresh_trending(engine, redis, now=now(), keep=trending_items)
    return Rebuilt(people.persons, people.edges, items.items, people.removed + items.removed)
