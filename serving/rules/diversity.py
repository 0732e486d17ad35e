"""Diversity: each next item also counts for how unlike it is to the items before it.

Maximal marginal relevance (Carbonell and Goldstein, 1998): with the dial d, the utility of an item is

    (1 - d) · score - d · `SPREADS` · σ · (its largest likeness to an item before it),

where σ is the standard deviation of the scores. It makes one dial fit every model, whatever the scale of its scores.
With d = 0 the utility is the score, with d = 1 only unlikeness counts, and the score decides between equals.

The likeness of two items is the cosine of their vectors, at least 0. Where one of them has no vector, it is the share
of common categories (Jaccard).
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from graphstore.arrays import BoolArray, Float32Array, Float64Array, IntArray
from graphstore.catalogue import Item

SPREADS = 3.0
"""At the middle of the dial, the same item again counts like so many standard deviations of the score."""


class Likeness:
    """How alike the items [n] are, from 0 to 1."""

    def __init__(self, items: Sequence[Item], vectors: Mapping[int, Float32Array] | None) -> None:
        found = [None] * len(items) if not vectors else [vectors.get(item.item_key) for item in items]
        widths = {len(vector) for vector in found if vector is not None}
        if len(widths) > 1:
            raise ValueError(f"vectors of one model have different lengths: {sorted(widths)}")
        width = max(widths, default=0)
        rows = np.zeros((len(items), width), dtype=np.float32)
        self._has: BoolArray = np.zeros(len(items), dtype=np.bool_)
        if width:
            empty = np.zeros(width, dtype=np.float32)
            # One copy of everything: an array of arrays takes four times as long.
            np.concatenate([empty if vector is None else vector for vector in found], out=rows.reshape(-1))
            lengths: Float32Array = np.sqrt(np.square(rows).sum(axis=1))
            self._has = lengths > 0
            rows /= np.where(self._has, lengths, np.float32(1.0))[:, np.newaxis]
        self._vectors: Float32Array = rows
        self._all_have = bool(self._has.all())
        self._categories: Float32Array = np.zeros((len(items), 0), dtype=np.float32)
        if not self._all_have:
            self._categories = _categories(items)
        self._sizes: Float32Array = self._categories.sum(axis=1)

    def to(self, row: int) -> Float64Array:
        """Return the likeness [n] of each item to the item of this row."""
        if self._all_have:
            return self._cosines(row)
        common = self._categories @ self._categories[row]
        shares = common / np.maximum(self._sizes + self._sizes[row] - common, 1.0)
        found: Float64Array = shares.astype(np.float64)
        return np.where(self._has, self._cosines(row), found) if self._has[row] else found

    def _cosines(self, row: int) -> Float64Array:
        cosines: Float64Array = (self._vectors @ self._vectors[row]).astype(np.float64)
        return np.minimum(np.maximum(cosines, 0.0), 1.0)  # np.clip takes ten times as long


def _categories(items: Sequence[Item]) -> Float32Array:
    """Return [n, categories] which categories each item has: 1 or 0."""
    every = list(chain.from_iterable([item.categories for item in items]))
    numbers = {category: number for number, category in enumerate(dict.fromkeys(every))}
    columns = [numbers[category] for category in every]
    found: Float32Array = np.zeros((len(items), len(numbers)), dtype=np.float32)
    found[np.repeat(np.arange(len(items)), [len(item.categories) for item in items]), columns] = 1.0
    return found


class Diversity:
    """The utilities [n] of candidates, as the list grows."""

    def __init__(self, scores: Float64Array, tiers: IntArray, dial: float, likeness: Likeness) -> None:
        self.likeness = likeness
        self._kept = (1.0 - dial) * scores
        self._price = np.zeros(len(scores))
        for tier in {*tiers.tolist()}:
            inside = tiers == tier
            self._price[inside] = dial * SPREADS * (float(scores[inside].std()) or 1.0)
        self._nearest = np.zeros(len(scores))

    def add(self, row: int) -> None:
        """Take an item into the list."""
        np.maximum(self._nearest, self.likeness.to(row), out=self._nearest)

    def utilities(self) -> Float64Array:
        """Return the utility [n] of each item at the next position."""
        found: Float64Array = self._kept - self._price * self._nearest
        return found
