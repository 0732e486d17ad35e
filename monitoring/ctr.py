"""CTR: the click-through rate of served lists, with its confidence interval.

Arrives: the counts of `counts`. Leaves: the rate of all lists of a span. Next: the playground.

What an impression, a click and a robot are stands in `monitoring.counts` and `monitoring.shown`.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from monitoring.counts import Counts, count
from monitoring.windows import ALL, TimeWindow


@dataclass(frozen=True)
class CtrFigure:
    """Clicks divided by impressions, with the interval. Without impressions the rate is None, not 0."""

    impressions: int
    clicks: int
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def counted(cls, counts: Counts) -> "CtrFigure":
        """Return the rate of people, with its interval between shoppers."""
        rate = counts.ctr()
        return cls(counts.impressions, counts.clicks, rate.value, rate.low, rate.high)


def ctr(connection: Connection, *, start: int, end: int) -> CtrFigure:
    """Return the rate of the lists served in start <= t < end (epoch ms)."""
    return CtrFigure.counted(count(connection, TimeWindow(start, end), segments=())[ALL])
