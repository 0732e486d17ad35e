"""Reader: gives the web process the shop lists, from a small memory that is a few seconds old at most.

Arrives: hashes of `serving.shop_lists.lists`. Leaves: entries by item key. Next: `serving.recommend` looks the items up
(`serving.cache.ItemReader`) and leaves out what cannot be bought now: the lists themselves are up to a minute old.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
from redis import Redis

from graphstore.arrays import Float32Array
from graphstore.redis.corrupt import left_out, readable_scores
from serving.shop_lists.lists import (
    ALL,
    CATEGORIES,
    REPURCHASE,
    TOGETHER,
    ShopEntry,
    best_key,
    readable,
    rising_key,
    vectors_key,
)

LIST_SECONDS = 2.0
"""A reader caches a list for this time."""

MAX_LISTS = 2000
"""Cached lists. When there are more, all are forgotten."""

LARGEST_COUNT = 2**53
"""Beyond it a float is no count."""

MAX_VECTORS = 50_000
"""Cached vectors, 200 bytes each."""

_T = TypeVar("_T")


@dataclass
class ShopLists:
    """Reads the shop lists. Threads may share it: a race only causes a second read. `clock` is monotonic, in seconds.

    All methods raise `redis.RedisError`. A list that is not there yet is empty.
    """

    redis: Redis
    seconds: float = LIST_SECONDS
    clock: Callable[[], float] = time.monotonic
    _kept: dict[tuple[str, str], tuple[float, Any]] = field(default_factory=dict, init=False)
    _vectors: tuple[str, dict[int, Float32Array | None]] = field(default=("", {}), init=False)

    def best(self, window: str, category: str | None = None) -> list[ShopEntry]:
        """Return what sold most in the window (`1h`, `24h`, `7d`), in a category or in the whole shop."""
        return self._list(best_key(window), category)

    def rising(self, window: str, category: str | None = None) -> list[ShopEntry]:
        """Return what rises in the window: what has more events than its own past lets expect."""
        return self._list(rising_key(window), category)

    def together(self, item_ids: Sequence[str]) -> list[list[ShopEntry]]:
        """Return for each item what is bought together with it. The count is the number of shoppers who did so."""
        found = {name: self._young(TOGETHER, name) for name in item_ids}
        if missing := [name for name, entries in found.items() if entries is None]:
            rows = cast("list[bytes | None]", self.redis.hmget(TOGETHER, missing))
            found |= {
                name: self._keep(TOGETHER, name, readable(TOGETHER, raw))
                for name, raw in zip(missing, rows, strict=True)
            }
        return [cast("list[ShopEntry]", found[name]) for name in item_ids]

    def repurchase(self) -> dict[str, float]:
        """Return the days after which the items of a category are bought again, for categories where they are."""
        return self._cached(REPURCHASE, ALL, self._read_repurchase)

    def categories(self) -> list[tuple[str, int]]:
        """Return the categories with the numbers of their items that can be bought, the largest first."""
        return self._cached(CATEGORIES, ALL, self._read_categories)

    def vectors(self, model_version: str, item_keys: Sequence[int]) -> dict[int, Float32Array]:
        """Return the model's vectors [dim] of these items. Items that the model does not know are left out."""
        version, known = self._vectors
        if version != model_version or len(known) > MAX_VECTORS:
            known = {}
            self._vectors = (model_version, known)
        if missing := [key for key in dict.fromkeys(item_keys) if key not in known]:
            name = vectors_key(model_version)
            rows = cast("list[bytes | None]", self.redis.hmget(name, [str(key) for key in missing]))
            known.update((key, _vector(name, raw)) for key, raw in zip(missing, rows, strict=True))
        return {key: vector for key in item_keys if (vector := known.get(key)) is not None}

    def _list(self, key: str, category: str | None) -> list[ShopEntry]:
        name = ALL if category is None else category
        return self._cached(key, name, lambda: readable(key, cast("bytes | None", self.redis.hget(key, name))))

    def _read_repurchase(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for raw, value in cast("dict[bytes, bytes]", self.redis.hgetall(REPURCHASE)).items():
            try:
                category, days = raw.decode(), float(value)
            except ValueError as error:  # UnicodeDecodeError is one
                left_out("list", REPURCHASE, error)
                continue
            if math.isfinite(days) and days >= 0:
                found[category] = days
            else:
                left_out("list", REPURCHASE, f"{days} days")
        return found

    def _read_categories(self) -> list[tuple[str, int]]:
        rows = cast("list[tuple[bytes, float]]", self.redis.zrevrange(CATEGORIES, 0, -1, withscores=True))
        return [(name, int(count)) for name, count in readable_scores(CATEGORIES, rows) if 0 <= count <= LARGEST_COUNT]

    def _cached(self, key: str, name: str, read: Callable[[], _T]) -> _T:
        young = self._young(key, name)
        return self._keep(key, name, read()) if young is None else cast("_T", young)

    def _young(self, key: str, name: str) -> object | None:
        entry = self._kept.get((key, name))
        return None if entry is None or self.clock() - entry[0] > self.seconds else entry[1]

    def _keep(self, key: str, name: str, value: _T) -> _T:
        if len(self._kept) >= MAX_LISTS:
            self._kept.clear()
        self._kept[key, name] = (self.clock(), value)
        return value


def _vector(key: str, raw: bytes | None) -> Float32Array | None:
    """Return the vector [dim] in the bytes, None for an item without one."""
    if not raw:
        return None
    if len(raw) % 2:
        left_out("list", key, f"a vector of {len(raw)} bytes")
        return None
    vector = np.frombuffer(raw, dtype="<f2").astype(np.float32)
    if not np.isfinite(vector).all():
        left_out("list", key, "a vector that is not finite")
        return None
    return vector
