"""PSI: the population stability index of counts, as Evidently computes it, for many resamples at once.

Arrives: numbers, or counts of bins. Leaves: bins and scores. Next: `resampling` scores what a quiet shop shows.

Formula: sum over bins of (p - q) * ln(p / q), with p and q the shares of a bin in the reference and in the current
window (Evidently 0.7, `calculations/stattests/psi.py` and `utils.py`). Evidently makes the final scores; a test holds
both equal. Rejected: Jensen-Shannon distance on the same bins. On Complete Journey and Online Retail II it raised the
same days, and nearer to its threshold (December against June: 2.0 times the threshold, PSI 2.2 times).
"""

from dataclasses import dataclass

import numpy as np

from graphstore.arrays import Float64Array, IntArray

FEW_VALUES = 20
"""Numbers with at most so many different values in the reference are compared value by value."""
SMALL_SHARE = 1e-4


@dataclass(frozen=True)
class Bins:
    """The bins of a column of numbers: different values, or the edges of intervals."""

    cuts: Float64Array
    by_value: bool

    def __len__(self) -> int:
        return len(self.cuts) if self.by_value else len(self.cuts) - 1

    def of(self, numbers: Float64Array) -> IntArray:
        """Return the bin of each number [n]. A number beyond the ends falls into the nearest bin."""
        places = np.searchsorted(self.cuts, numbers, side="right") - 1
        return np.clip(places, 0, len(self) - 1).astype(np.int64)


def number_bins(reference: Float64Array, current: Float64Array) -> Bins:
    """Return the bins that Evidently compares these numbers by. They must be finite, with some on each side.

    Few different values are bins of their own. Else the bins are of equal width, as many as Sturges' rule says.
    """
    both = np.concatenate([reference, current])
    if len(distinct_numbers(reference)) <= FEW_VALUES:
        return Bins(distinct_numbers(both), by_value=True)
    return Bins(np.histogram_bin_edges(both, bins="sturges"), by_value=False)


def distinct_numbers(numbers: Float64Array) -> Float64Array:
    """Return the different numbers [m], ascending."""
    ascending = np.sort(numbers)
    return ascending[np.diff(ascending, prepend=-np.inf) > 0]


def psi(reference: Float64Array, current: Float64Array) -> Float64Array:
    """Return the index [...] of counts [..., bins]. A side without any count gives NaN."""
    p, q = _shares(reference), _shares(current)
    index: Float64Array = ((p - q) * np.log(p / q)).sum(axis=-1)
    return index


def _shares(counts: Float64Array) -> Float64Array:
    """Shares without zeros: a zero becomes .0001, or a millionth of the smallest share where that is smaller."""
    total = counts.sum(axis=-1, keepdims=True)
    shares = counts / np.where(total > 0, total, np.nan)
    smallest = np.where(shares > 0, shares, np.inf).min(axis=-1, keepdims=True)
    return np.where(shares == 0, np.where(smallest <= SMALL_SHARE, smallest / 1e6, SMALL_SHARE), shares)
