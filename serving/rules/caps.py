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
        self._groups = groups
        self._numbers: dict[str | None, int] = {}
        self._codes: IntArray | None = None
        self._room: dict[str | None, int] = dict.fromkeys(groups, most)
        self.has_room: BoolArray = np.ones(len(groups), dtype=np.bool_)

    def add(self, row: int, count: int) -> None:
        group = self._groups[row]
        if group is not None:
            before = self._room[group]
            after = self._room[group] = before - count
            if (before > 0) != (after > 0):
                self.has_room[self._is_of(group)] = after > 0

    def _is_of(self, group: str) -> BoolArray:
        """Return [n] whether the item is of the group."""
        if self._codes is None:  # in many lists no group ever fills up
            self._numbers = {other: number for number, other in enumerate(self._room)}
            self._codes = np.array([*map(self._numbers.__getitem__, self._groups)], dtype=np.int64)
        found: BoolArray = self._codes == self._numbers[group]
        return found

    def excess(self) -> IntArray:
        """Return [n] by how many items the item's group would be exceeded with it."""
        most = {group: max(1 - room, 0) for group, room in self._room.items()} | {None: 0}
        return np.array([most[group] for group in self._groups], dtype=np.int64)


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
        worst = self._soft[0].excess()
        for cap in self._soft[1:]:
            worst = np.maximum(worst, cap.excess())
        return worst
