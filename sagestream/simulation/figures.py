"""Figures: compares the courses of policies.

Arrives: one `Course` for each policy and seed. Leaves: curves by day, and how much of its clicks a policy has back
after an injection. Next: `sagestream simulate` and `benchmarks/loop.py` print them.

Policies are compared by expected clicks: the probabilities of the clicks, summed over the shown items. That is the
click-through rate without the luck of single clicks, which only a simulation knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from graphstore.retention import DAY_MS
from sagestream.simulation.policies import PolicyName
from sagestream.simulation.run import Course

BEFORE_DAYS = 3
"""The days before an injection that count as the time before it."""
ENOUGH = 0.9
"""Clicks are back when this share of what the oracle keeps is reached."""
RETRAINS = 3
CONFIDENCE_Z = 1.96

Courses = Mapping[PolicyName, Course]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, with its 95 % interval. With one seed there is no interval."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """Return the estimate from one value for each seed."""
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, None, None)
        half = CONFIDENCE_Z * float(np.std(values, ddof=1)) / sqrt(len(values))
        return cls(mean, mean - half, mean + half)

    def rounded(self) -> list[float | None]:
        """Return the two ends of the interval, rounded."""
        return [None if end is None else round(end, 4) for end in (self.low, self.high)]


@dataclass(frozen=True)
class Recovery:
    """What is back after an injection, as a share of what the oracle keeps.

    1 means: the policy lost and won no more than the oracle did.
    """

    recovered: Estimate
    """After the third retrain, or after the last one if there were fewer."""
    frozen: Estimate
    """The frozen model at the same time."""
    after_each: list[Estimate]
    """After the first, second, third retrain."""
    retrains: int | None
    """The number of retrains until 90 % were back; None if three did not suffice."""


def rate(course: Course, start: int, end: int) -> float:
    """Return the expected clicks for each item shown in start <= time < end (epoch ms)."""
    counts = course.between(start, end)
    return counts.expected_clicks / counts.shown if counts.shown else float("nan")


def kept(courses: Courses, policy: PolicyName, *, before: tuple[int, int], after: tuple[int, int]) -> float:
    """Return the policy's rate after by its rate before, in multiples of the oracle's. Times are epoch ms."""
    own, best = courses[policy], courses["oracle"]
    return (rate(own, *after) / rate(own, *before)) / (rate(best, *after) / rate(best, *before))


def recovery(seeds: Sequence[Courses], *, day: int) -> Recovery:
    """Measure how the loop came back from an injection on `day`. The courses of each seed hold oracle, loop, frozen.

    A retrain is a finished run, promoted or not. What it brought is measured until the next one, for at least a day.
    """
    by_retrain: list[list[float]] = [[] for _ in range(RETRAINS)]
    last, frozen = [], []
    for courses in seeds:
        loop = courses["loop"]
        injected, end = loop.opening + day * DAY_MS, loop.spans[-1].end
        before = (max(loop.opening, injected - BEFORE_DAYS * DAY_MS), injected)
        windows = retrain_windows([run.time for run in loop.runs if run.time > injected], end)[:RETRAINS]
        for values, window in zip(by_retrain, windows, strict=False):
            values.append(kept(courses, "loop", before=before, after=window))
        final = windows[-1] if windows else (end - DAY_MS, end)
        last.append(kept(courses, "loop", before=before, after=final))
        frozen.append(kept(courses, "frozen", before=before, after=final))
    after_each = [Estimate.of(values) for values in by_retrain if len(values) == len(seeds)]
    enough = [number for number, estimate in enumerate(after_each, 1) if estimate.mean >= ENOUGH]
    return Recovery(Estimate.of(last), Estimate.of(frozen), after_each, enough[0] if enough else None)


def retrain_windows(times: Sequence[int], end: int) -> list[tuple[int, int]]:
    """Return the time that shows what each retrain brought: until the next one, at least a day. Without a whole day
    before the `end` (epoch ms), a retrain has no window."""
    followers = [*times[1:], end][: len(times)]
    windows = [(time, min(max(after, time + DAY_MS), end)) for time, after in zip(times, followers, strict=True)]
    return [window for window in windows if window[1] - window[0] >= DAY_MS]


def ratio(seeds: Sequence[Courses], one: PolicyName, other: PolicyName, *, first_day: int = 1) -> Estimate:
    """Return the expected clicks of one policy by those of another, from `first_day` on."""
    values = []
    for courses in seeds:
        start, end = courses[one].opening + first_day * DAY_MS, courses[one].spans[-1].end
        values.append(rate(courses[one], start, end) / rate(courses[other], start, end))
    return Estimate.of(values)


def curves(seeds: Sequence[Courses]) -> dict[PolicyName, dict[str, Any]]:
    """Return for each policy the curves by day, as means over the seeds."""
    found: dict[PolicyName, dict[str, Any]] = {}
    for policy in seeds[0]:
        days = [courses[policy].days() for courses in seeds]
        by_day = list(zip(*days, strict=True))
        found[policy] = {
            "ctr": [_mean([one.clicks / max(one.shown, 1) for one in day]) for day in by_day],
            "expected_ctr": [_mean([one.expected_clicks / max(one.shown, 1) for one in day]) for day in by_day],
            "revenue": [_mean([one.revenue for one in day], 2) for day in by_day],
            "retrains": [
                [round((run.time - courses[policy].opening) / DAY_MS, 3) for run in courses[policy].runs]
                for courses in seeds
            ],
            "promoted": [sum(run.verdict == "promoted" for run in courses[policy].runs) for courses in seeds],
        }
    return found


def _mean(values: Sequence[float], digits: int = 5) -> float:
    return round(float(np.mean(values)), digits)
