"""Level watch: follows the click-through rate by the hour of the week, and collects evidence of a lasting fall.

Arrives: hours, one after the other. Leaves: the evidence that the rate has fallen, which may be looked at after every
hour, and since when and by how much. Next: `fall` turns it into a reason for a retrain.

**What is expected.** The state is the rate of the 168 hours of the week, each as a deviation from one working rate.
They have a common normal prior: one level, which is not known at all, a share for the hour of the day, for the day of
the week, and for the single hour. A Kalman filter learns them hour by hour. So a short history shrinks the hours
towards each other: on the second day the filter expects at ten o'clock what the first day had at ten o'clock, with an
error that says how little it knows; after weeks each hour of the week has its own rate. An hour that is left out
changes nothing.

**The noise** of an hour is that of clicks that are alike within one shopper: r (1 − r) (x + ρ (Σ x² − x)) for x
impressions, where ρ, the correlation of two impressions of one shopper, comes from the sums of all hours together. (The
sums of one hour alone give a variance that is too small exactly when the rate is too small.) An hour has a noise of its
own besides, and the filter learns a factor from its own errors, by days, because errors of one day may have one sign.

**The evidence.** For each hour s that the fall may have begun with, the filter knows how a fall by d would move all its
errors since. The likelihood of these errors with the fall, divided by the likelihood without it, is an e-process (the
wealth of a gambler who bets on a fall since s). It is averaged over some sizes d. A level wanders by some per cent
without a fault, so both sides of the ratio have such a wandering. The sum over all s is an e-detector (Shiryaev and
Roberts): without a fall it has a mean of at most the number of hours, so it crosses c in at most one of c hours,
however often somebody looks.

Source: West & Harrison, "Monitoring and adaptation in Bayesian forecasting models", JASA 81, 1986 (filter and ratio);
Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", New England Journal of
Statistics in Data Science 2, 2023 (the sum, and its bound); Cochran, "Sampling Techniques", 1977, chapter 9 (ρ).

Rejected: the newest hour against the pooled hours before it, with two 95 % intervals. It asked 14 to 564 times in 60
quiet days: the time of the day counted as a fall, each look had a new chance, and clicks of one shopper counted as
independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log, sqrt

import numpy as np

from graphstore.arrays import Float64Array
from graphstore.tables import HOUR_MS
from monitoring.triggers.hours import Hour

CELLS = 168
"""The hours of a week."""
DAY_CELLS = 24
LEVEL_SD = 1.0
"""Before the first hour nothing is known of the level. All standard deviations are shares of the working rate."""
DAY_HOUR_SD = 0.25
"""Hours of the day differ so much from each other: a day-night cycle of ±20 % to ±40 % is usual."""
WEEKDAY_SD = 0.06
CELL_SD = 0.04
"""What is special to one hour of the week."""
HOUR_SD = 0.02
"""An hour's own noise, beside that of clicks: a newsletter, the weather."""
WANDER_SD = 0.01
"""A level may wander so far without a fault. Twice as much costs an hour or two of delay; what a shop wanders more from
day to day, the factor of the noise learns."""
RESTART_SD = 0.5
"""After a restart the level may be any other one. What is known of the hours' shape stays."""
FALLS = (0.2, 0.5)
"""The sizes of a fall that are bet on, each with an equal part. A fall by less than a tenth is no evidence."""
LEAST_HOURS = 3
"""A fall lasts so many hours before it counts: a retrain cannot mend what is over in an hour."""
LARGEST_ERROR = 3.0
"""In standard deviations: a single broken hour counts as much as this and no more."""
FACTOR_DAYS = 3
"""The factor of the noise begins as if it had been 1 for so many days."""
EVERY_HOUR = 24
"""Each hour of the last day may be the first of a fall; of older ones every second, fourth, … hour stays."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for a fall. `since` is the start of its first hour (epoch ms), `fall` a share of the rate before."""

    log_e_value: float = -inf
    since: int = 0
    fall: float = 0.0


def correlation(hours: Sequence[Hour]) -> float:
    """Return ρ, the correlation of two impressions of one shopper: 0 when their clicks are independent.

    Σ (y − r x)² over the shoppers has the mean r (1 − r) (Σ x + ρ Σ (x² − x)).
    """
    rate = working_rate(hours)
    pairs = sum(hour.squares - hour.impressions for hour in hours)
    if not 0 < rate < 1 or pairs <= 0:
        return 0.0
    residuals = sum(h.click_squares - 2 * rate * h.products + rate**2 * h.squares for h in hours)
    found = (residuals / (rate * (1 - rate)) - sum(hour.impressions for hour in hours)) / pairs
    return min(max(found, 0.0), 1.0)


def working_rate(hours: Sequence[Hour]) -> float:
    """Return the rate of all hours together; 0 without impressions."""
    impressions = sum(hour.impressions for hour in hours)
    return sum(hour.clicks for hour in hours) / impressions if impressions else 0.0


class LevelWatch:
    """The filter and the possible beginnings of a fall. Hours must come in their order.

    Args:
        rate: the working rate, above 0. Only a scale: the level is learned.
        correlation: ρ.
    """

    def __init__(self, rate: float, correlation: float) -> None:
        if not 0 < rate < 1:
            raise ValueError(f"the working rate is {rate}, not between 0 and 1")
        self._rate, self._correlation = rate, correlation
        self._mean = np.zeros(CELLS)
        self._covariance = _prior()
        self._day, self._days, self._factor_sum = _Day(), 0, 0.0
        self._forget()

    def _forget(self) -> None:
        self._starts = np.zeros(0, dtype=np.int64)
        self._numbers = np.zeros(0, dtype=np.int64)
        self._response = np.zeros((CELLS, 0))
        self._moved, self._information = np.zeros(0), np.zeros(0)
        self._hours = self._used = 0

    def restart(self) -> None:
        """Begin again with any level, for example after a request: what came before is no evidence any more."""
        self._covariance += RESTART_SD**2
        self._forget()

    def add(self, hour: Hour, *, seen: float = 1.0) -> None:
        """Take in an hour. `seen` is the share of its clicks that has come. Without impressions nothing changes."""
        if hour.impressions <= 0 or seen <= 0:
            return
        cell = _cell(hour.start)
        expected = hour.impressions * self._rate * seen
        error = hour.clicks / expected - 1 - self._mean[cell]
        variance = float(self._covariance[cell, cell]) + self._noise(hour, expected, float(self._mean[cell]))
        bound = LARGEST_ERROR * sqrt(variance)
        error = min(max(float(error), -bound), bound)
        gain = self._covariance[:, cell] / variance
        self._bet(hour, cell, error, variance, gain)
        self._mean += gain * error
        self._covariance -= np.outer(gain, self._covariance[cell])
        self._learn_noise(hour, error / sqrt(variance))

    def evidence(self) -> Evidence:
        """Return the evidence of a fall after the hours so far."""
        old = self._hours - self._numbers >= LEAST_HOURS
        old[self._used :] = False
        if not old.any():
            return Evidence()
        wandering = 1 + WANDER_SD**2 * self._information[old]
        moved, information = self._moved[old] / wandering, self._information[old] / wandering
        falls = np.array(FALLS)[:, None]
        each = np.logaddexp.reduce(-falls * moved - falls**2 * information / 2, axis=0) - log(len(FALLS))
        best = int(np.argmax(each))
        level = self._moved[old][best] / self._information[old][best] if self._information[old][best] else 0.0
        return Evidence(float(np.logaddexp.reduce(each)), int(self._starts[old][best]), float(-level))

    def _noise(self, hour: Hour, expected: float, deviation: float) -> float:
        """Return the variance of clicks / expected."""
        alike = 1 + self._correlation * (hour.squares / hour.impressions - 1)
        clicks = (1 - self._rate) * alike * max(1 + deviation, 0.2) / expected
        return (clicks + HOUR_SD**2) * self._factor()

    def _bet(self, hour: Hour, cell: int, error: float, variance: float, gain: Float64Array) -> None:
        if self._used == len(self._starts):
            self._make_room()
        self._starts[self._used], self._numbers[self._used] = hour.start, self._hours
        self._used += 1
        self._hours += 1
        used = slice(0, self._used)
        # A fall that began with hour s moves this error by its size times `shift`: what the filter has not yet learned.
        shift = 1 - self._response[cell, used]
        self._moved[used] += shift * error / variance
        self._information[used] += shift**2 / variance
        self._response[:, used] += gain[:, None] * shift

    def _make_room(self) -> None:
        """Keep every 2ᵏ-th start of an age of EVERY_HOUR · 2ᵏ hours. A smaller sum is valid as well."""
        age = (self._hours - self._numbers) // EVERY_HOUR
        step = 2 ** np.floor(np.log2(np.maximum(age, 1) + 1e-9)).astype(np.int64)
        kept = (self._numbers % step == 0) | (age == 0)
        more = np.arange(EVERY_HOUR)
        self._starts = np.append(self._starts[kept], 0 * more)
        self._numbers = np.append(self._numbers[kept], 0 * more)
        self._response = np.hstack([self._response[:, kept], np.zeros((CELLS, EVERY_HOUR))])
        self._moved = np.append(self._moved[kept], 0.0 * more)
        self._information = np.append(self._information[kept], 0.0 * more)
        self._used = int(kept.sum())

    def _factor(self) -> float:
        return max(1.0, (FACTOR_DAYS + self._factor_sum) / (FACTOR_DAYS + self._days))

    def _learn_noise(self, hour: Hour, error: float) -> None:
        """(Σ errors of a day)² / their number has the mean 1 when errors are independent and of the expected size."""
        day = hour.start // (DAY_CELLS * HOUR_MS)
        if self._day.number != day and self._day.count:
            self._factor_sum += self._factor() * min(self._day.total**2 / self._day.count, LARGEST_ERROR**2)
            self._days += 1
            self._day = _Day()
        self._day = _Day(day, self._day.total + error, self._day.count + 1)


@dataclass(frozen=True)
class _Day:
    number: int = 0
    total: float = 0.0
    count: int = 0


def _cell(start: int) -> int:
    return start // HOUR_MS % CELLS


def _prior() -> Float64Array:
    cells = np.arange(CELLS)
    same_hour = cells[:, None] % DAY_CELLS == cells % DAY_CELLS
    same_day = cells[:, None] // DAY_CELLS == cells // DAY_CELLS
    covariance = LEVEL_SD**2 + DAY_HOUR_SD**2 * same_hour + WEEKDAY_SD**2 * same_day + CELL_SD**2 * np.eye(CELLS)
    return np.asarray(covariance, dtype=np.float64)
