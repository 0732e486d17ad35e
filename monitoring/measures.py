"""Measures: one figure of a span or a segment, with its interval, and the difference of two of them.

Arrives: sums over shoppers, or a value that needs no interval. Leaves: rates and differences. Next: the modules of the
shop's metrics make them, the report prints them.
"""

from dataclasses import dataclass, replace

from monitoring.intervals import Rate, difference, difference_of_means, mean_ratio, proportion
from training.evaluation.sequential import ClusterSums


@dataclass(frozen=True)
class Measure:
    """One figure. `unit` is "share", "items", "ms", a currency or another word for what the value counts.

    A ratio has the sums of its shoppers. Another figure is exact, such as a count, or has its own interval (`fixed`).
    """

    name: str
    unit: str
    sums: ClusterSums | None = None
    is_share: bool = False
    """The value is a share of `sums.bottom`, so its interval stays within 0 and 1."""
    scale: float = 1.0
    fixed: Rate | None = None

    @classmethod
    def share(cls, name: str, sums: ClusterSums) -> "Measure":
        """Return a share, for example a click-through rate."""
        return cls(name, "share", sums, is_share=True)

    @classmethod
    def mean(cls, name: str, unit: str, sums: ClusterSums, *, scale: float = 1.0) -> "Measure":
        """Return a ratio of amounts, times `scale`."""
        return cls(name, unit, sums, scale=scale)

    @classmethod
    def exact(cls, name: str, unit: str, value: float | None, n: int) -> "Measure":
        """Return a count or an amount. It is what happened and no estimate, so it has no interval."""
        return cls(name, unit, fixed=Rate(value, None, None, n))

    def rate(self) -> Rate:
        """Return the value with its interval and its n."""
        if self.sums is None:
            return self.fixed or Rate.nothing()
        return _scaled(proportion(self.sums) if self.is_share else mean_ratio(self.sums), self.scale)

    def minus(self, other: "Measure") -> Rate | None:
        """Return this figure minus the other, with its interval; None for figures that are no ratio.

        The difference of two counts alone would be a bare arrow: nobody could say whether it is more than chance.
        """
        if self.sums is None or other.sums is None:
            return None
        if self.is_share:
            return difference(self.sums, other.sums)
        return _scaled(difference_of_means(self.sums, other.sums), self.scale)


def _scaled(rate: Rate, scale: float) -> Rate:
    value, low, high = (None if end is None else end * scale for end in (rate.value, rate.low, rate.high))
    return replace(rate, value=value, low=low, high=high)
