"""CTR: the click-through rate of served lists, with its confidence interval.

Arrives: the counts of `counts`. Leaves: the rate of a span, for all lists together and for each segment; figures in
`metric_windows`, metric `ctr`. Next: the drift report, `sagestream report`, the playground.

What an impression, a click and a robot are stands in `monitoring.counts` and `monitoring.shown`.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from monitoring.counts import SEGMENT_KINDS, Counts, count
from monitoring.intervals import wilson_interval
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
    def of(cls, impressions: int, clicks: int) -> "CtrFigure":
        """Return the rate of these counts, as if each impression had its own shopper."""
        if impressions == 0:
            return cls(0, 0, None, None, None)
        low, high = wilson_interval(clicks, impressions)
        return cls(impressions, clicks, clicks / impressions, low, high)

    @classmethod
    def counted(cls, counts: Counts) -> "CtrFigure":
        """Return the rate of people, with its interval between shoppers."""
        rate = counts.ctr()
        return cls(counts.impressions, counts.clicks, rate.value, rate.low, rate.high)


def ctr(connection: Connection, *, start: int, end: int) -> CtrFigure:
    """Return the rate of the lists served in start <= t < end (epoch ms)."""
    return CtrFigure.counted(count(connection, TimeWindow(start, end), segments=())[ALL])


def ctr_by_segment(connection: Connection, *, start: int, end: int) -> dict[str, CtrFigure]:
    """Return the rate of each segment of `SEGMENT_KINDS` in start <= t < end (epoch ms), and always that of `all`."""
    counted = count(connection, TimeWindow(start, end), segments=SEGMENT_KINDS)
    return {segment: CtrFigure.counted(counts) for segment, counts in counted.items()}
