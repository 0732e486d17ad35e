"""Catalogue feed: which items came, changed, or can no longer be bought, within a second.

Arrives: the names in `changed_items` (Redis), and the table `items`. Leaves: the changed items, and the stock of all.
Next: `serving.followed_models` tells the models.

Redis says quickly what has changed; SQL is the truth and is read whole once a minute. So a Redis that lost its keys, or
a worker that writes no `changed_items`, costs a minute and no item. A new item has a larger key than all before it, so
SQL is asked for new ones at each look.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import numpy as np
from redis import Redis

from graphstore.arrays import BoolArray, IntArray, find_sorted
from graphstore.catalogue import Item

CHANGED = "changed_items"
"""Sorted set: the ids of changed items by the time of the change (epoch ms), of the last two minutes."""

LOOK_SECONDS = 0.5
WHOLE_SECONDS = 60.0
"""The whole stock is read again after this time."""

OVERLAP_MS = 5_000
"""A look goes back so far before the newest change it has seen: writers' clocks differ, and their writes cross."""

OVERLAP_KEYS = 64
"""A look for new items goes back so many keys: a transaction with a smaller key may end later."""


class Catalogue(Protocol):
    """The table of items. `serving.source.ShopSource` implements it."""

    def stock(self) -> tuple[IntArray, BoolArray]:
        """Return the keys of all items, ascending, and whether each can be bought now."""
        ...

    def items_after(self, item_key: int) -> list[Item]:
        """Return the items with a larger key, by key."""
        ...

    def items_by_id(self, item_ids: Sequence[str]) -> list[Item]:
        """Return the items that exist."""
        ...


class CatalogueFeed:
    """The stock of all items, and what has changed since the last look. `clock` is in seconds."""

    def __init__(self, source: Catalogue, redis: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._redis = redis
        self._clock = clock
        self.keys: IntArray = np.empty(0, dtype=np.int64)
        """The keys of all items, ascending."""
        self.for_sale: BoolArray = np.empty(0, dtype=np.bool_)
        """Whether each of them can be bought now."""
        self._seen: dict[bytes, float] = {}
        self._next_look = self._next_whole = clock()

    def look(self) -> list[Item] | None:
        """Return the items that came or changed, or None when the next look is not due yet.

        The stock is up to date after it. Raises the errors of SQL and Redis; the next look finds the same changes.
        """
        if self._clock() < self._next_look:
            return None
        self._next_look = self._clock() + LOOK_SECONDS
        named = self._named()
        new = [raw.decode(errors="replace") for raw, time_ms in named.items() if self._seen.get(raw) != time_ms]
        changed = {item.item_key: item for item in (self._source.items_by_id(new) if new else [])}
        if self._clock() >= self._next_whole:
            before = int(self.keys[-1]) if len(self.keys) else None
            self.keys, self.for_sale = self._source.stock()
            if before is not None:
                changed |= {item.item_key: item for item in self._source.items_after(before)}
            self._next_whole = self._clock() + WHOLE_SECONDS
        else:
            indices = max(0, len(self.keys) - OVERLAP_KEYS)
            after = int(self.keys[indices]) if len(self.keys) else 0
            changed |= {item.item_key: item for item in self._source.items_after(after) if not self._has(item)}
            self._take(list(changed.values()))
        self._seen = named or self._seen
        return list(changed.values())

    def _named(self) -> dict[bytes, float]:
        """Return the ids that Redis names, with the time of their change, since shortly before the newest known."""
        newest = max(self._seen.values(), default=0.0)
        rows = self._redis.zrangebyscore(CHANGED, newest - OVERLAP_MS, "+inf", withscores=True)
        return dict(cast("list[tuple[bytes, float]]", rows))

    def _has(self, item: Item) -> bool:
        return bool(find_sorted(np.array([item.item_key]), self.keys)[1][0])

    def _take(self, items: Sequence[Item]) -> None:
        """Change the stock by these items."""
        if not items:
            return
        keys = np.array([item.item_key for item in items], dtype=np.int64)
        flags = np.array([item.available for item in items], dtype=np.bool_)
        indices, found = find_sorted(keys, self.keys)
        self.for_sale = self.for_sale.copy()
        self.for_sale[indices[found]] = flags[found]
        if not found.all():
            all_keys = np.concatenate([self.keys, keys[~found]])
            order = np.argsort(all_keys, kind="stable")
            self.keys = all_keys[order]
            self.for_sale = np.concatenate([self.for_sale, flags[~found]])[order]
