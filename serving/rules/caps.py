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
    """Counts of one kind of group. Items of no group share a number whose count never rises."""

    def __init__(self, groups: Sequence[str | None], most: int) -> None:
        numbers: dict[str, int] = {}
        codes = [0 if group is None else numbers.setdefault(group, len(numbers) + 1) for group in groups]
        self.codes: IntArray = np.array(codes, dtype=np.int64)
        self.room: IntArray = np.full(len(numbers) + 1, most, dtype=np.int64)
        self.room[0] = np.iinfo(np.int64).max

    def add(self, row: int, count: int) -> None:
        code = self.codes[row]
        if code:
            self.room[code] -= count


class Caps:
    """The caps of a list of candidates [n], and what is taken of them."""

    def __init__(self, items: Sequence[Item], rules: RuleSet) -> None:
        self._hard = _Cap([item.product_id for item in items], rules.per_product)
        self._soft: list[_Cap] = []
        if rules.per_category is not None:
            self._soft.append(_Cap([next(iter(item.categories), None) for item in items], rules.per_category))
        if rules.per_brand is not None:
            self._soft.append(_Cap([item.brand or None for item in items], rules.per_brand))

    def take(self, row: int) -> None:
        """Count the item."""
        for cap in (self._hard, *self._soft):
            cap.add(row, 1)

    def give_back(self, row: int) -> None:
        """Count the item no longer."""
        for cap in (self._hard, *self._soft):
            cap.add(row, -1)

    def fits(self, row: int) -> bool:
        """Return whether one more item like this exceeds no cap."""
        return all(cap.room[cap.codes[row]] > 0 for cap in (self._hard, *self._soft))

    def open(self) -> BoolArray:
        """Return [n] whether the item's product has room."""
        found: BoolArray = self._hard.room[self._hard.codes] > 0
        return found

    def excess(self) -> IntArray | None:
        """Return [n] by how many items the worst soft cap would be exceeded with this item. None without soft caps."""
        if not self._soft:
            return None
        tightest = self._soft[0].room[self._soft[0].codes]
        for cap in self._soft[1:]:
            tightest = np.minimum(tightest, cap.room[cap.codes])
        return np.maximum(1 - tightest, 0)
