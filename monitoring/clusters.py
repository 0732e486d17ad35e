"""Clusters: adds up columns by segment and shopper, and makes the sums of which ratios and their errors are made.

Arrives: arrays of segments, shoppers and numbers, piece after piece. Leaves: the sums of each shopper of a segment, and
`ClusterSums`. Next: `tally` and the metrics of a shop.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphstore.arrays import IntArray, run_starts
from training.evaluation.sequential import ClusterSums

Column = npt.NDArray[Any]
"""Integers or floats."""


class Clusters:
    """The sums of some columns for each (segment, shopper). Integers stay exact."""

    def __init__(self) -> None:
        self._pieces: list[tuple[IntArray, IntArray, list[Column]]] = []

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, segments: IntArray, persons: IntArray, columns: Sequence[Column]) -> None:
        """Add the columns [n] of these segments [n] and shoppers [n]."""
        if len(segments):
            self._pieces.append(added(segments, persons, columns))

    def sums(self) -> tuple[IntArray, IntArray, list[Column]]:
        """Return each (segment, shopper) once, in ascending order: segments [m], shoppers [m], columns [m].

        Raises `ValueError` when nothing was added.
        """
        if not self._pieces:
            raise ValueError("nothing was added")
        segments, persons = (np.concatenate([piece[part] for piece in self._pieces]) for part in (0, 1))
        columns = [np.concatenate(pieces) for pieces in zip(*(piece[2] for piece in self._pieces), strict=True)]
        return added(segments, persons, columns)

    def ratios(self, top: int, bottom: int) -> dict[int, ClusterSums]:
        """Return the sums of column `top` over column `bottom` of each segment. Shoppers with bottom 0 are left out."""
        if not self._pieces:
            return {}
        segments, _, columns = self.sums()
        has = columns[bottom] > 0
        y, x, segments = columns[top][has], columns[bottom][has], segments[has]
        starts = run_starts(segments)
        ends = [*starts[1:].tolist(), len(segments)]
        return {
            int(segments[start]): ClusterSums.of(y[start:end], x[start:end])
            for start, end in zip(starts.tolist(), ends, strict=True)
        }


def added(segments: IntArray, persons: IntArray, columns: Sequence[Column]) -> tuple[IntArray, IntArray, list[Column]]:
    """Return each (segment, shopper) once, in ascending order, with the sums of its columns."""
    if not len(segments):
        return segments, persons, list(columns)
    width = int(persons.max()) + 1
    keys = segments * width + persons
    order = np.argsort(keys, kind="stable")
    starts = run_starts(keys[order])
    found = keys[order][starts]
    return found // width, found % width, [np.add.reduceat(column[order], starts) for column in columns]
