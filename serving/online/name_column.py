"""Name column: which items have a name, as arrays that answer for the whole catalogue at once.

Arrives: the names of an item (its categories, its brand, its attributes), by place. Leaves: a mask over all places.
Next: `serving.online.catalogue_columns`.

The column is a list of pairs (place, code of a name). An item that changes gets new pairs; its old ones are dead until
the column is compacted. Rejected: one array of items for each name, which costs a change as many items as share the
name; and a matrix [items, names], which one item with a hundred categories makes wide for all.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from graphstore.arrays import BoolArray

DEAD = -1
_START = 1024


class NameColumn:
    """The names of items by place. Not for two threads at once."""

    def __init__(self) -> None:
        self._codes: dict[Hashable, int] = {}
        self._places = np.empty(_START, dtype=np.int32)  # [pairs]
        self._names = np.empty(_START, dtype=np.int32)  # [pairs] the code, DEAD in a pair that counts no more
        self._pairs = 0
        self._dead = 0
        self._first: list[int] = []  # by place: its pairs begin here
        self._counts: list[int] = []  # by place: it has so many

    @property
    def held(self) -> tuple[int, int]:
        """How many pairs and how many names are in memory, those that count no more among them."""
        return self._pairs, len(self._codes)

    def put(self, place: int, names: Sequence[Hashable]) -> None:
        """Give the item at `place` these names instead of those that it has. A new place is the next one."""
        if place == len(self._first):
            self._first.append(0)
            self._counts.append(0)
        old = slice(self._first[place], self._first[place] + self._counts[place])
        self._names[old] = DEAD
        self._dead += self._counts[place]
        if self._pairs + len(names) > len(self._places):
            self._make_room(len(names))
        self._first[place], self._counts[place] = self._pairs, len(names)
        for name in names:
            self._places[self._pairs] = place
            self._names[self._pairs] = self._codes.setdefault(name, len(self._codes))
            self._pairs += 1

    def mark(self, names: Iterable[Hashable], marked: BoolArray) -> None:
        """Set `marked` [≥ places] to True at each place that has one of the names."""
        wanted = [code for name in names if (code := self._codes.get(name)) is not None]
        if not wanted:
            return
        table = np.zeros(len(self._codes) + 1, dtype=np.bool_)  # the last one for DEAD, which is index −1
        table[wanted] = True
        marked[self._places[: self._pairs][table[self._names[: self._pairs]]]] = True

    def _make_room(self, wanted: int) -> None:
        """Drop dead pairs, and the names that nobody has any more, if they are many; else double the arrays."""
        if self._dead * 2 > self._pairs:
            self._compact()
        while self._pairs + wanted > len(self._places):
            self._places = _doubled(self._places)
            self._names = _doubled(self._names)

    def _compact(self) -> None:
        alive = self._names[: self._pairs] != DEAD
        names, places = self._names[: self._pairs][alive], self._places[: self._pairs][alive]
        moved = np.cumsum(alive) - 1  # where each pair that is alive goes; the pairs of one item stay together
        self._first = [int(moved[at]) if count else 0 for at, count in zip(self._first, self._counts, strict=True)]
        used = np.zeros(len(self._codes), dtype=np.bool_)
        used[names] = True
        codes = np.cumsum(used) - 1
        self._codes = {name: int(codes[code]) for name, code in self._codes.items() if used[code]}
        self._pairs, self._dead = len(names), 0
        self._names[: self._pairs] = codes[names]
        self._places[: self._pairs] = places


def _doubled(column: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return np.concatenate([column, np.empty_like(column)])
