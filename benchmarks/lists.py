"""Lists: a published model for a shop of a given size, written to Redis as the publisher and near-line write it.

Arrives: an empty Redis and the sizes. Leaves: items, each shopper's list, near-line lists of a tenth of the shoppers.
Next: `benchmarks.serving` asks for them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import item_store
from serving import cache
from serving.routing import ROUTING, Arm, Exploration, Routing, Split, encode

MODEL = "m1"
LENGTH = 100
NEAR_SHARE = 10
"""One shopper of so many did something since the publication, and so has two lists."""
BATCH = 1_000
CATEGORIES = 40
BRANDS = 200


def fill(redis: Redis, *, shoppers: int, items: int, as_of: int, rng: np.random.Generator) -> None:
    """Write the shop. Shoppers are `u0`, `u1` and so on; item keys begin at 1. `as_of` is epoch ms."""
    item_store.set_items(redis, catalogue(items, rng))
    length = min(LENGTH, items)
    scores = np.linspace(4.0, -4.0, length)
    popular = cache.pack(np.arange(1, length + 1), scores, as_of=as_of)
    cache.write_lists(redis, {cache.popular_key(MODEL): popular})
    for start in range(0, shoppers, BATCH):
        lists: dict[str, bytes] = {}
        for number in range(start, min(start + BATCH, shoppers)):
            keys = 1 + (rng.integers(items) + np.arange(length) * int(rng.integers(1, 50))) % items
            lists[cache.recs_key(MODEL, f"u{number}")] = cache.pack(keys, scores, as_of=as_of)
            if number % NEAR_SHARE == 0:
                lists[cache.near_key(MODEL, f"u{number}")] = cache.pack(keys[::-1], scores, as_of=as_of + 1)
        cache.write_lists(redis, lists)
    redis.set(cache.CHAMPION, MODEL)


def explore(redis: Redis, slots: Sequence[str]) -> None:
    """Let the slots explore for all their shoppers, as experiments do."""
    arm = Arm("explore", 1.0, exploration=Exploration(temperature=1.0, new_items=0.05))
    splits = tuple(Split(f"explore-{slot}", "salt", (arm,), slot) for slot in slots)
    redis.set(ROUTING, encode(Routing(splits, MODEL)))


def catalogue(items: int, rng: np.random.Generator) -> Iterator[Item]:
    """Yield items with titles of a usual length, two categories, a brand and a price."""
    for key in range(1, items + 1):
        category = int(rng.integers(CATEGORIES))
        yield Item(
            item_key=key,
            item_id=f"sku-{key:07d}",
            title=f"A thing of the usual kind, size {key % 12}, colour {key % 7}",
            categories=[f"aisle {category % 8}", f"shelf {category}"],
            brand=f"brand {int(rng.integers(BRANDS))}",
            price=round(float(rng.gamma(2.0, 10.0)), 2),
        )
