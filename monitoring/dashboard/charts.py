"""Charts: makes lines and bars of stored windows.

Arrives: `Stored` windows. Leaves: `Chart` blocks. Next: the pages. A day or hour without a stored window, or in which
nothing was shown, is a point without a value, so that a gap is seen as a gap.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from monitoring.counts import Counts
from monitoring.dashboard.series import Stored
from monitoring.intervals import Rate
from serving.dashboard.blocks import Chart, Line, Point, Unit

MAX_CURRENCIES = 3
"""Currencies that get a figure of their own: those with the most money."""


def rate_line(name: str, windows: Sequence[Stored], *, width: int, of: Callable[[Stored], Rate]) -> Line:
    """Return a rate over time with its intervals; `width` is that of the windows, ms."""
    return Line(name=name, points=_filled(windows, width, lambda stored: _rate_point(stored.window.start, of(stored))))


def count_line(name: str, windows: Sequence[Stored], *, width: int, of: Callable[[Counts], float]) -> Line:
    """Return an amount over time. Windows in which nothing was shown have no value."""

    def point(stored: Stored) -> Point:
        counts = stored.counts
        shown = counts.impressions or counts.fetched
        return Point(stored.window.start, float(of(counts)) if shown else None, n=counts.impressions)

    return Line(name=name, points=_filled(windows, width, point))


def rate_bars(title: str, rates: Mapping[str, Rate], *, window: str, n_of: str, note: str = "") -> Chart:
    """Return a bar with its interval for each label, in the given order."""
    points = [_rate_point(index, rate) for index, rate in enumerate(rates.values())]
    return Chart(
        title=title,
        note=note,
        form="bars",
        unit="share",
        lines=[Line(name=title, points=points)],
        labels=list(rates),
        window=window,
        n=sum(rate.n for rate in rates.values()),
        n_of=n_of,
    )


def currencies(windows: Sequence[Stored]) -> list[str]:
    """Return the currencies with the most revenue, at most `MAX_CURRENCIES`. The empty one: the shop names none."""
    total: Counter[str] = Counter()
    for stored in windows:
        total.update({currency: abs(amount) for currency, amount in stored.counts.revenue.items()})
        total.update(dict.fromkeys(stored.counts.refunds, 0.0))
    return [currency for currency, _ in total.most_common(MAX_CURRENCIES)]


def over_time(title: str, lines: list[Line], unit: Unit, *, window: str, n: int, n_of: str) -> Chart:
    """Return a chart over time without marks."""
    return Chart(title=title, unit=unit, lines=lines, window=window, n=n, n_of=n_of)


def _rate_point(at: int, rate: Rate) -> Point:
    return Point(at, rate.value, rate.low, rate.high, rate.n)


def _filled(windows: Sequence[Stored], width: int, point: Callable[[Stored], Point]) -> list[Point]:
    points: list[Point] = []
    for stored in windows:
        if points and stored.window.start - points[-1].at > width:
            points.append(Point(points[-1].at + width, None))  # one point makes the gap, however long it is
        points.append(point(stored))
    return points
