"""Resampling: what a column scores in a quiet shop, and from which score it has drifted.

Arrives: a column's values by window and shopper. Leaves: a `Null`, its threshold and p-values. Next: `judgement`.

The unit is the shopper-day: all values of one shopper in one window. A basket of thirty lines is one observation, not
thirty (block bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8).

Each window of the reference plays the current one in turn and is compared with the same days of the other weeks.
Shopper-days of both sides are drawn with replacement (each with a Poisson number of copies), as many as the real
comparison has. So the scores hold the chance of shoppers and the difference between quiet days. The drawn sides carry
the chance of shoppers twice, from the days themselves and from the draw. The share of the second part, measured on
sides drawn from one pool, is taken out of each score. Rejected: to subtract its mean. The spread then stays that of
both parts, and thresholds of small shops are twice as high.

A sum of squared differences is nearly a gamma variable (a weighted sum of chi-squares; Satterthwaite, 1946). Its mean
is known from a few windows only, so the score of one more day, divided by that mean, has an F distribution. Rejected:
the gamma distribution itself. It takes the mean for exact, and called three quiet days of 48 of Online Retail II
drifted. Rejected: the quantile of the resamples themselves, because with a correction for columns and looks it lies far
beyond the largest of a thousand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc, fdtri

from graphstore.arrays import Float32Array, Float64Array, IntArray, run_starts
from monitoring.drift.psi import psi

DRAWS = 40
"""Draws for each window of the reference: with 28 windows 1,120 scores."""
SMALLEST_DRIFT = 0.001
"""A smaller score is no drift, however seldom it is. One list of ten clicked instead of one of eleven scores 0.001."""
LEAST_SHARE = 0.5
"""What is left of a score at least: where all days are alike, both parts are equal."""
LEAST_SPREAD = 1e-12


@dataclass(frozen=True)
class Null:
    """The mean and the variance of a quiet shop's scores, and how many windows they come from."""

    mean: float
    variance: float
    windows: int

    def threshold(self, probability: float) -> float:
        """Return the score that a quiet shop exceeds with this probability."""
        if self.variance < LEAST_SPREAD:
            return max(self.mean, SMALLEST_DRIFT)
        return max(float(fdtri(*self._degrees, 1.0 - probability)) * self.mean, SMALLEST_DRIFT)

    def p_value(self, score: float) -> float:
        """Return the probability that a quiet shop scores at least this much."""
        if self.variance < LEAST_SPREAD:
            return float(score <= max(self.mean, SMALLEST_DRIFT))
        return float(fdtrc(*self._degrees, score / self.mean))

    @property
    def _degrees(self) -> tuple[float, float]:
        """The degrees of freedom of F. A gamma variable of shape k has 2k."""
        of_score = 2 * self.mean**2 / self.variance
        # The shape comes from the same few windows as the mean. Half of them count for the mean, because with all of
        # them days that were hardly unusual reached 1.01 to 1.05 of the threshold.
        return of_score, of_score * self.windows / 2


@dataclass(frozen=True)
class Shape:
    """What is resampled. A group's windows are compared with each other.

    `groups` and `shopper_days` have an entry for each window. `sizes` are the shopper-days of the real reference and of
    the real current window. `columns` are the ranges of bins of each column.
    """

    groups: Sequence[int]
    shopper_days: Sequence[int]
    sizes: tuple[int, int]
    columns: Sequence[slice]


def block_counts(shoppers: IntArray, bins: Sequence[IntArray], widths: Sequence[int]) -> Float32Array:
    """Return the counts [shopper-days, sum of widths] of one window, a row for each of the `shoppers` [n].

    `bins` has the bin [n] of each event for each column, -1 without a value; the columns lie beside each other.
    """
    order = np.argsort(shoppers, kind="stable")
    starts = run_starts(shoppers[order])
    rows = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    counts = np.zeros((len(starts), sum(widths)), dtype=np.float32)
    first = 0
    for column, width in zip(bins, widths, strict=True):
        there = column[order] >= 0
        cells = np.bincount(rows[there] * width + column[order][there], minlength=len(starts) * width)
        counts[:, first : first + width] = cells.reshape(len(starts), width)
        first += width
    return counts


def nulls_of(
    windows: Iterable[Float32Array], shape: Shape, *, rng: np.random.Generator, draws: int = DRAWS
) -> list[Null | None]:
    """Return what each column scores in a quiet shop; None where no window can be compared with another one.

    `windows` are the counts [shopper-days, bins] of the reference's windows, read once. `draws` are for each window.
    """
    groups = np.array(shape.groups)
    days = np.array(shape.shopper_days)
    members = {group: np.flatnonzero((groups == group) & (days > 0)) for group in set(shape.groups)}
    reference, current, pooled = [], [], []
    for k, counts in enumerate(windows):
        rivals, pool = len(members[shape.groups[k]]) - 1, days[members[shape.groups[k]]].sum()
        # Two sides drawn from the days themselves, and two drawn from all days of the group together.
        shares = [
            shape.sizes[0] / max(rivals, 1) / max(len(counts), 1),
            shape.sizes[1] / max(len(counts), 1),
            *(size / max(pool, 1) for size in shape.sizes),
        ]
        sides = [_draw(counts, share, draws, rng) for share in shares]
        reference.append(sides[0])
        current.append(sides[1])
        pooled.append(sides[2:])
    found: list[Null | None] = []
    for column in shape.columns:
        scores, chance = [], []
        for inside in members.values():
            if len(inside) < 2:
                continue
            together = np.sum([reference[k][:, column] for k in inside], axis=0)
            scores += [psi(together - reference[k][:, column], current[k][:, column]) for k in inside]
            one, other = (np.sum([pooled[k][side][:, column] for k in inside], axis=0) for side in (0, 1))
            chance.append(psi(one, other))
        found.append(_null(scores, chance))
    return found


def _null(scores: list[Float64Array], chance: list[Float64Array]) -> Null | None:
    """Take the chance that the draw adds out of the scores. A side that drew no value at all has no score."""
    if not scores:
        return None
    drawn, added = (np.concatenate(parts) for parts in (scores, chance))
    drawn, added = drawn[np.isfinite(drawn)], added[np.isfinite(added)]
    if not len(drawn) or not len(added) or drawn.mean() == 0:
        return Null(0.0, 0.0, len(scores)) if len(drawn) else None
    once = drawn * max(1.0 - added.mean() / drawn.mean(), LEAST_SHARE)
    return Null(float(once.mean()), float(once.var()), len(scores))


def _draw(blocks: Float32Array, copies: float, draws: int, rng: np.random.Generator) -> Float64Array:
    """Return the counts [draws, bins] of the blocks [n, bins], each taken a Poisson number of times."""
    drawn = rng.poisson(copies, (draws, len(blocks))).astype(np.float32) @ blocks
    return drawn.astype(np.float64)
