"""Visitor memory: the bytes that one visitor takes in Redis, by kind of key.

Arrives: nothing. Leaves: a table, or JSON, of bytes a visitor, from the `used_memory` of a Redis of its own. Next:
docs/benchmarks.md.

A visitor has `EVENTS` events with different items, bought `BOUGHT` of them, was shown `LISTS` lists of `LIST_ITEMS`
items, and has a near-line list of `NEAR_ITEMS`. Each kind is written for all visitors before the next one. The keys
expire, as those of the worker do, so that the memory for that counts, too. Start it as
`python -m benchmarks.visitor_memory`.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from redis import Redis

from graphstore.redis import hot, shown
from graphstore.redis.lifetime import Lifetime
from sagestream.playground.embedded import own_redis
from serving import cache

VISITORS = 5_000
EVENTS = 10
BOUGHT = 2
LISTS = 3
LIST_ITEMS = 10
NEAR_ITEMS = 100
ITEMS = 10_000
NOW = 1_767_614_400_000
LIST_MS = 60_000
CHUNK = 500
SEED = 7


def measure(redis: Redis, visitors: int) -> dict[str, float]:
    """Return the bytes a visitor by kind of key, on an empty Redis."""
    rng = random.Random(SEED)
    lifetime = Lifetime(NOW)
    touches = {name: _touches(rng, name) for name in (f"visitor-{number:08}" for number in range(visitors))}
    kinds: dict[str, Callable[[list[str]], object]] = {
        "recent, seen": lambda names: hot.record(
            redis, _of(touches, names), keep=hot.RECENT_ITEMS, lifetime=lifetime, new=names
        ),
        "bought": lambda names: hot.record(
            redis, _of(touches, names), keep=hot.RECENT_ITEMS, lifetime=lifetime, bought=_bought(touches, names)
        ),
        "shown": lambda names: shown.record(redis, _lists(rng, names), lifetime),
        "near": lambda names: cache.write_lists(
            redis,
            {cache.near_key("m-20260105-120000", name): _near(rng) for name in names},
            ttl_seconds=lifetime.life_ms // 1000,
        ),
    }
    hot.record(redis, [("warm", "up", NOW)], keep=1)  # the script and its buffers
    redis.flushall()
    found: dict[str, float] = {}
    names = list(touches)
    for kind, write in kinds.items():
        before = _used(redis)
        for start in range(0, visitors, CHUNK):
            write(names[start : start + CHUNK])
        found[kind] = round((_used(redis) - before) / visitors, 1)
    return found | {"all": round(sum(found.values()), 1)}


def _touches(rng: random.Random, visitor: str) -> list[hot.Touch]:
    items = rng.sample(range(ITEMS), EVENTS)
    return [(visitor, f"item-{item:05}", NOW - place * LIST_MS) for place, item in enumerate(items)]


def _of(touches: dict[str, list[hot.Touch]], names: list[str]) -> Iterator[hot.Touch]:
    return (touch for name in names for touch in touches[name])


def _bought(touches: dict[str, list[hot.Touch]], names: list[str]) -> Iterator[hot.Touch]:
    return (touch for name in names for touch in touches[name][:BOUGHT])


def _lists(rng: random.Random, names: list[str]) -> Iterator[shown.Shown]:
    for name in names:
        shelf = rng.sample(range(ITEMS), 2 * LIST_ITEMS)
        for number in range(LISTS):
            for item in rng.sample(shelf, LIST_ITEMS):
                yield name, f"item-{item:05}", NOW - number * LIST_MS


def _near(rng: random.Random) -> bytes:
    return cache.pack(rng.sample(range(ITEMS), NEAR_ITEMS), range(NEAR_ITEMS, 0, -1), as_of=NOW)


def _used(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.visitor_memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--visitors", type=int, default=VISITORS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, own_redis(Path(directory)) as redis:
        found = measure(redis, options.visitors)
    if options.json:
        print(json.dumps({"visitors": options.visitors, "bytes": found}))
        return
    print("| keys | bytes a visitor |\n|---|---|")
    for kind, number in found.items():
        print(f"| {kind} | {number:,.0f} |")


if __name__ == "__main__":
    main()
