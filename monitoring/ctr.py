"""CTR: the click-through rate of served lists, with its confidence interval.

Arrives: the counts of `counts`. Leaves: the rate of all lists of a span; figures of windows of any length in
`metric_windows`, metric `ctr`. Next: the playground, and monitors whose windows are not hours.

What an impression, a click and a robot are stands in `monitoring.counts` and `monitoring.shown`.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from monitoring.counts import Counts, count, recount
from monitoring.windows import ALL, Figure, TimeWindow, write_figures

OPEN_WINDOWS = 3
"""The number of newest windows that each pass counts again, because of late clicks. It includes the current window."""


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


def write_ctr_windows(
    connection: Connection, *, now: int, window_seconds: int, open_windows: int = OPEN_WINDOWS
) -> list[Figure]:
    """Measure the newest windows again and store them; return the figures, oldest window first.

    Windows begin at multiples of their length since the epoch. The newest window contains `now` (epoch ms) and is not
    complete yet. The `open_windows` newest windows are counted again in each pass; older windows do not change. The
    caller owns the transaction.
    """
    width = window_seconds * 1000
    newest = now // width
    numbers = range(newest - open_windows + 1, newest + 1)
    figures = recount(connection, [TimeWindow(number * width, (number + 1) * width) for number in numbers])
    write_figures(connection, figures)
    return figures
