"""Intervals: how far a measured rate can be from the true one.

Arrives: sums over shoppers, counts. Leaves: rates with a 95 % interval, and differences of rates with theirs. Next:
`counts`, `ctr` and the report.

One shopper's clicks are similar, so a thousand impressions of one shopper say less than one impression of a thousand
shoppers. The variance of a rate is therefore taken between shoppers (delta method, `training.evaluation.sequential`).
A proportion then gets Wilson's interval with as many trials as would have this variance without clusters: p(1-p) / se².
A variance of few shoppers is itself unsure, and clicks come from few, so Student's t takes the place of the normal
quantile, with the effective number of shoppers with clicks, (Σ y)² / Σ y², minus one degrees of freedom.

Rejected: p ± 1.96 · se. It ends below 0 where clicks are rare, and it misses the truth more often. Rejected: a
bootstrap over shoppers. It gives the same and takes a thousand times as long.

Source: Wilson, JASA 22, 1927; Korn & Graubard, Survey Methodology 24, 1998 (effective trials); Kish, 1965.
"""

import math
from dataclasses import dataclass

from training.evaluation.sequential import ClusterSums, ratio_difference

CONFIDENCE_Z = 1.959964
"""The quantile of the normal distribution for a two-sided 95 % interval."""


@dataclass(frozen=True)
class Rate:
    """A measured value with the ends of its 95 % interval. All three are None when there was nothing to measure.

    `n` is what the value was divided by, for example impressions.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    @classmethod
    def nothing(cls) -> "Rate":
        """Return the rate of no data."""
        return cls(None, None, None, 0)


def wilson_interval(successes: float, trials: float, z: float = CONFIDENCE_Z) -> tuple[float, float]:
    """Return the score interval of a proportion: centre (p + z²/2n) / (1 + z²/n).

    Unlike p ± z·sqrt(p(1-p)/n) it stays within 0 and 1, and its width is not 0 when there are 0 clicks. This matters,
    because a CTR is close to 0. Raises `ValueError` unless 0 <= successes <= trials and trials > 0.

    Source: Wilson, JASA 22, 1927.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is not a proportion")
    p = successes / trials
    shrink = 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / shrink
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / shrink
    # The ends are exact at 0 and 1. Rounding must not move them past p.
    low = 0.0 if successes == 0 else min(max(centre - half, 0.0), p)
    high = 1.0 if successes == trials else max(min(centre + half, 1.0), p)
    return low, high


def proportion(sums: ClusterSums) -> Rate:
    """Return Σ y / Σ x, where y counts some of the x of a shopper, with its interval between shoppers.

    Without any y, or where each shopper has one x, this is Wilson's interval of Σ x trials. Where the shoppers do not
    differ, or there is only one, nothing is known about the variance between them: each shopper then counts as about
    one trial, (Σ x)² / Σ x².
    """
    trials = round(sums.bottom)
    if trials == 0:
        return Rate.nothing()
    value = sums.top / sums.bottom
    low, high = wilson_interval(*_effective(sums, value))
    return Rate(value, min(low, value), max(high, value), trials)  # rounding must not move the ends past the value


def _effective(sums: ClusterSums, value: float) -> tuple[float, float]:
    """Return the successes and trials, without clusters, that say as much as these sums."""
    if value == 0 or sums.bottom_squared == sums.bottom:
        return sums.top, sums.bottom
    error = sums.ratio().standard_error
    if math.isinf(error):
        trials = sums.bottom**2 / sums.bottom_squared
    else:
        who_clicked = sums.top**2 / sums.top_squared
        trials = value * (1 - value) / error**2 * (CONFIDENCE_Z / student_z(who_clicked - 1)) ** 2
    trials = min(max(trials, 1.0), sums.bottom)
    return min(value * trials, trials), trials


def student_z(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t, for at least one degree of freedom (fewer count as one).

    Cornish and Fisher's expansion, with an error below 1 % from 3 degrees on; below that it is too small. Rejected:
    `scipy.stats`, because its import takes longer than a count.
    """
    d, z = max(freedom, 1.0), CONFIDENCE_Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / d + second / d**2 + third / d**3


def mean_ratio(sums: ClusterSums) -> Rate:
    """Return Σ y / Σ x of amounts, for example revenue for each order, ± 1.96 standard errors between shoppers.

    The ends are None where the error is not known: fewer than two shoppers, or no difference between them.
    """
    if sums.bottom == 0:
        return Rate.nothing()
    found = sums.ratio()
    if math.isinf(found.standard_error):
        return Rate(found.value, None, None, round(sums.bottom))
    half = CONFIDENCE_Z * found.standard_error
    return Rate(found.value, found.value - half, found.value + half, round(sums.bottom))


def difference(one: ClusterSums, other: ClusterSums) -> Rate:
    """Return the proportion of `one` minus that of `other`, with its interval. `n` is that of `one`."""
    return difference_of_shares(proportion(one), proportion(other))


def difference_of_shares(one: Rate, other: Rate) -> Rate:
    """Return one share minus the other, with the interval that follows from theirs. `n` is that of `one`.

    The distance of each end is the root of the squared distances of the ends of the two intervals that make it (MOVER).
    So a difference has an interval even where nobody clicked. Where the same people stand in both, as in two weeks of
    a shop, they are similar, so the interval is too wide rather than too narrow.

    Source: Newcombe, Statistics in Medicine 17, 1998, method 10; Zou & Donner, Statistics in Medicine 27, 2008.
    """
    ends = (one.value, one.low, one.high, other.value, other.low, other.high)
    known = [end for end in ends if end is not None]
    if len(known) < len(ends):
        return Rate.nothing()
    value, low, high, their_value, their_low, their_high = known
    apart = value - their_value
    below, above = math.hypot(value - low, their_high - their_value), math.hypot(high - value, their_value - their_low)
    return Rate(apart, apart - below, apart + above, one.n)


def difference_of_means(one: ClusterSums, other: ClusterSums) -> Rate:
    """Return the ratio of `one` minus that of `other`, ± 1.96 standard errors. `n` is that of `one`.

    The ends are None where the error of one of them is not known.
    """
    if one.bottom == 0 or other.bottom == 0:
        return Rate.nothing()
    found = ratio_difference(one, other)
    if math.isinf(found.standard_error):
        return Rate(found.value, None, None, round(one.bottom))
    half = CONFIDENCE_Z * found.standard_error
    return Rate(found.value, found.value - half, found.value + half, round(one.bottom))
