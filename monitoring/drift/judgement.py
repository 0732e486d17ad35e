"""Judgement: which columns can be compared, and from which score each has drifted.

Arrives: `Traffic` or `Lists` of one reference, their columns. Leaves: a `Candidate` for each column. Next:
`evidently_report` gives the scores, `job` makes the verdict.

A column that drifts counts alone. Rejected: a share of drifted columns, because reversed popularity moves one column
far and leaves all others where they are. The probability of a false alarm is divided by the number of columns and by
the reports of a day (Bonferroni, 1936): in a quiet shop one day in `drift_quiet_days` has a false alarm at most.
Reports overlap, so it has fewer."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from graphstore.arrays import Float64Array, IntArray, distinct
from graphstore.retention import DAY_MS
from monitoring.drift.columns import Column
from monitoring.drift.psi import psi
from monitoring.drift.references import WEEK_DAYS, Reference, ReferenceName
from monitoring.drift.resampling import Null, Shape, block_counts, nulls_of
from monitoring.drift.traffic import Observed

MIN_VALUES = 200
"""Values that a column needs on each side."""
MIN_SHOPPER_DAYS = 30
"""Shopper-days that each side needs. With fewer, one busy shopper decides the score."""
MIN_WINDOWS = 7
"""Windows of the past that the reference needs: a week. With fewer, the difference between quiet days is not known."""
MIN_OF_A_WINDOW = 5
"""Shopper-days that a window of the past needs. With fewer, the shop was closed, and its day is left out."""
MOST_LOOKS = 24
"""Reports of a day that count as looks: windows that move by less than an hour are nearly the same."""


@dataclass(frozen=True)
class Candidate:
    """A column of one reference: its values on both sides, and what a quiet shop scores.

    `skipped` says why the column is not compared; `null` is then None. Numbers are NaN where a row has no value.
    """

    column: Column
    reference: ReferenceName
    before: Float64Array
    now: Float64Array
    null: Null | None = None
    skipped: str | None = None

    @property
    def label(self) -> str:
        """The name in scores and verdicts."""
        return self.column.name if self.reference == "trailing" else f"{self.column.name} since training"

    @property
    def sizes(self) -> tuple[int, int]:
        """The number of values (reference, current)."""
        return int((~np.isnan(self.before)).sum()), int((~np.isnan(self.now)).sum())

    def score(self) -> float:
        """Return the index of the two sides, as Evidently does. Raises `ValueError` for a side without values."""
        sides = [side[~np.isnan(side)] for side in (self.before, self.now)]
        if not all(map(len, sides)):
            raise ValueError(f"{self.label} has no values to compare")
        bins = self.column.bins(sides[0], sides[1])
        counts = np.stack([np.bincount(bins.of(side), minlength=len(bins)) for side in sides]).astype(np.float64)
        counts = counts if self.column.words is None else counts[:, counts.any(axis=0)]
        return float(psi(counts[0], counts[1]))

    def drifted(self, score: float, probability: float) -> bool:
        """Return whether a quiet shop scores as much less often than `probability`."""
        if self.null is None or score <= self.null.threshold(probability):
            return False
        return not self.column.falls or bool(np.nanmean(self.now) < np.nanmean(self.before))


def false_alarm_probability(tests: int, *, quiet_days: float, interval_seconds: float) -> float:
    """Return the probability of a false alarm that each of `tests` columns may have in one report."""
    looks = min(MOST_LOOKS, max(1.0, DAY_MS / 1000 / interval_seconds))
    return 1 / (quiet_days * looks * max(tests, 1))


def candidates(
    observed: Observed, reference: Reference, columns: Sequence[Column], *, rng: np.random.Generator
) -> list[Candidate]:
    """Return each column with what a quiet shop scores, or with the reason why it is not compared."""
    windows = [observed.window(window) for window in reference.windows]
    days = [len(distinct(observed.shoppers[window])) for window in windows]
    compared, groups = _grouping(reference, days)
    rows = np.concatenate([np.arange(windows[k].start, windows[k].stop) for k in compared] or [np.empty(0, np.int64)])
    now = observed.current
    found = [Candidate(c, reference.name, c.numbers[rows], c.numbers[now]) for c in columns]
    sizes = (sum(days[k] for k in compared), len(distinct(observed.shoppers[now])))
    usable = [k for k, group in enumerate(groups) if days[k] and groups.count(group) > 1 and group >= 0]
    if why := _too_little(sizes, len(usable)):
        return [_with(one, skipped=why) for one in found]
    tested = [one for one in found if min(one.sizes) >= MIN_VALUES]
    nulls = _nulls(observed, [windows[k] for k in usable], Groups([groups[k] for k in usable], sizes), tested, rng)
    return [
        _with(one, null=nulls[one.label])
        if one.label in nulls
        else _with(one, skipped="{:,} and {:,} values, {} needed on each side".format(*one.sizes, MIN_VALUES))
        for one in found
    ]


@dataclass(frozen=True)
class Groups:
    """The group of each window of the reference, and the shopper-days of (reference, current)."""

    of_window: Sequence[int]
    sizes: tuple[int, int]


def _with(one: Candidate, *, null: Null | None = None, skipped: str | None = None) -> Candidate:
    return Candidate(one.column, one.reference, one.before, one.now, null, skipped)


def _grouping(reference: Reference, days: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the windows to compare with, and the group of each window: those that can be compared. -1: closed.

    A shop that is younger than two weeks has no second day of the same weekday, so all its days are one group.
    """
    there = [count >= MIN_OF_A_WINDOW for count in days]
    weekly = [k for k in reference.same_weekdays() if there[k]]
    if len(weekly) >= 2:
        return weekly, [reference.days_before(k) % WEEK_DAYS if there[k] else -1 for k in range(len(days))]
    every = [k for k, is_there in enumerate(there) if is_there]
    return every, [0 if is_there else -1 for is_there in there]


def _too_little(shopper_days: tuple[int, int], windows: int) -> str | None:
    if min(shopper_days) < MIN_SHOPPER_DAYS:
        return "{:,} and {:,} shoppers' days, {} needed on each side".format(*shopper_days, MIN_SHOPPER_DAYS)
    if windows < MIN_WINDOWS:
        return f"{windows} windows of the past, {MIN_WINDOWS} needed"
    return None


def _nulls(
    observed: Observed,
    windows: Sequence[slice],
    groups: Groups,
    tested: Sequence[Candidate],
    rng: np.random.Generator,
) -> dict[str, Null]:
    """Return what each column scores in a quiet shop, by label. All columns share the draws of shopper-days."""
    binned: list[IntArray] = []
    widths: list[int] = []
    for one in tested:
        bins = one.column.bins(one.before[~np.isnan(one.before)], one.now[~np.isnan(one.now)])
        numbers = one.column.numbers
        there = ~np.isnan(numbers)
        binned.append(np.where(there, bins.of(np.where(there, numbers, 0.0)), -1))
        widths.append(len(bins))
    ends = np.cumsum([0, *widths]).tolist()
    shape = Shape(
        groups.of_window,
        [len(distinct(observed.shoppers[window])) for window in windows],
        groups.sizes,
        [slice(first, last) for first, last in pairwise(ends)],
    )
    counts = (block_counts(observed.shoppers[w], [bins[w] for bins in binned], widths) for w in windows)
    found = zip(tested, nulls_of(counts, shape, rng=rng), strict=True)
    return {one.label: null for one, null in found if null is not None}
