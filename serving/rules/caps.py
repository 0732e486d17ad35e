"""Caps: at most so many items of one category, brand or product in a list.

A category is the first one of an item. An item without category, brand or product is never capped by it.
`per_product` always holds. `per_category` and `per_brand` give way where the list would stay short: then the items
that exceed them least come first.
"""

from collections.abc import Sequence

import numpy as np

from graphstore.arrays import BoolArray, IntArray
from graphstore.catalogue import Item
from serving.rules.rule_set import RuleSet


class _Cap:
    """Counts of one kind of group, and which items [n] have room. Items of no group always have.

    Only where a group fills up, or has room again, are all items looked at.
    """

    def __init__(self, groups: Sequence[str | None], most: int) -> None:
        numbers: dict[str | None, int] = {None: 0}
        self._codes = [numbers.setdefault(group, len(numbers)) for group in groups]
        self._all = np.array(self._codes, dtype=np.int64)
        self._room = [most] * len(numbers)
        self._room[0] = np.iinfo(np.int64).max
        self.has_room: BoolArray = np.ones(len(groups), dtype=np.bool_)

    def add(self, row: int, count: int) -> None:
        code = self._codes[row]
        if code:
            before = self._room[code]
            after = self._room[code] = before - count
            if (before > 0) != (after > 0):
                self.has_room[self._all == code] = after > 0

    def room(self) -> IntArray:
        """Return [n] how many more items of the item's group may come. Below 0: so many are too many."""
        found: IntArray = np.array(self._room, dtype=np.int64)[self._all]
        return found


class Caps:
    """The caps of a list of candidates [n], and what is taken of them."""

    def __init__(self, items: Sequence[Item], rules: RuleSet) -> None:
        self._hard = _Cap([item.product_id for item in items], rules.per_product)
        self._soft: list[_Cap] = []
        if rules.per_category is not None:
            groups = [item.categories[0] if item.categories else None for item in items]
            self._soft.append(_Cap(groups, rules.per_category))
        if rules.per_brand is not None:
            self._soft.append(_Cap([item.brand or None for item in items], rules.per_brand))
        self._every = (self._hard, *self._soft)

    def take(self, row: int) -> None:
        """Count the item."""
        for cap in self._every:
            cap.add(row, 1)

    def give_back(self, row: int) -> None:
        """Count the item no longer."""
        for cap in self._every:
            cap.add(row, -1)

    def fits(self, row: int) -> bool:
        """Return whether one more item like this exceeds no cap."""
        return all(cap.has_room[row] for cap in self._every)

    def open(self) -> BoolArray:
        """Return [n] whether the item's product has room. The array changes with the list: it is only to be read."""
        return self._hard.has_room

    def within(self) -> BoolArray | None:
        """Return [n] whether the item exceeds no soft cap. None without soft caps. It is only to be read."""
        if not self._soft:
            return None
        found = self._soft[0].has_room
        for cap in self._soft[1:]:
            found = found & cap.has_room
        return found

    def excess(self) -> IntArray | None:
        """Return [n] by how many items the worst soft cap would be exceeded with this item. None without soft caps."""
        if not self._soft:
            return None
        tightest = self._soft[0].room()
        for cap in self._soft[1:]:
            tightest = np.minimum(tightest, cap.room())
        return np.maximum(1 - tightest, 0)
