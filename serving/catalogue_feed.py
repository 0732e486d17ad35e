"""Catalogue feed: which items came, changed, or can no longer be bought, within a second.

Arrives: the keys in `changed_items` (`graphstore.redis.changes`), and the table `items`. Leaves: the changed items, and
the stock of all. Next: `serving.followed_models` tells the models.

Redis says quickly what has changed; SQL is the truth, and its stock is read whole once a minute. So a Redis that lost
its keys costs a minute and no item. A new item has a larger key than all before it, so SQL is asked for new ones at
each look.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from redis import Redis

from graphstore.arrays import BoolArray, IntArray, difference, find_sorted
from graphstore.catalogue import Item
from graphstore.redis.changes import changed_since

LOOK_SECONDS = 0.5
WHOLE_SECONDS = 60.0
"""The whole stock is read again after this time."""

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

    def items_by_key(self, item_keys: Sequence[int]) -> list[Item]:
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
        self._number: int | None = None
        """The newest change that this feed knows. None before the first look."""
        self._next_look = self._next_whole = clock()

    def look(self) -> list[Item] | None:
        """Return the items that came or changed, or None when the next look is not due yet.

        The stock is up to date after it. The first look returns no item. Raises the errors of SQL and Redis; the next
        look finds the same changes.
        """
        if self._clock() < self._next_look:
            return None
        self._next_look = self._clock() + LOOK_SECONDS
        number, named = changed_since(self._redis, self._number or 0)
        changed: list[Item] = []
        if self._number is None or named is None or self._clock() >= self._next_whole:
            before, (self.keys, self.for_sale) = self.keys, self._source.stock()
            if self._number is not None:
                keys = difference(self.keys, before).tolist()
                changed = self._source.items_by_key(list(dict.fromkeys([*keys, *(named or ())])))
            self._next_whole = self._clock() + WHOLE_SECONDS
        else:
            if named:
                changed = self._source.items_by_key(named)
            after = int(self.keys[-1 - OVERLAP_KEYS]) if len(self.keys) > OVERLAP_KEYS else 0
            known = {*self.keys.tolist()[-OVERLAP_KEYS:], *(item.item_key for item in changed)}
            changed += [item for item in self._source.items_after(after) if item.item_key not in known]
            self._take(changed)
        self._number = number
        return changed

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
