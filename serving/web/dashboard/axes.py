"""Axes: round values and round times for the ticks of a chart.

Arrives: the range of the values, or of the times. Leaves: ticks with their place (0 to 1) and their text. Next:
`charts`. Times are in UTC.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from serving.dashboard.blocks import Unit
from serving.web.dashboard.written import NARROW, written

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_HOURS = (1, 2, 3, 6, 12)
_DAYS = (1, 2, 7, 14)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
_SIZES = ((1e9, "bn"), (1e6, "m"), (1e3, "k"))
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000


@dataclass(frozen=True)
class Tick:
    """A tick at `place`: 0 is the left or the lower end of the axis, 1 the other end."""

    place: float
    text: str

    @property
    def percent(self) -> str:
        """The place from the left, as SVG writes it."""
        return f"{100 * self.place:.2f}%"

    @property
    def down(self) -> int:
        """The place from the top of a box that is 1,000 high."""
        return round(1000 * (1 - self.place))

    @property
    def percent_down(self) -> str:
        """The place from the top."""
        return f"{100 * (1 - self.place):.2f}%"


@dataclass(frozen=True)
class ValueAxis:
    """The range of the drawn values, with its ticks."""

    low: float
    high: float
    ticks: list[Tick]

    def place(self, value: float) -> float:
        """Return where the value is drawn."""
        return (value - self.low) / (self.high - self.low)


def value_axis(low: float, high: float, unit: Unit, *, count: int = 4) -> ValueAxis:
    """Return an axis with about `count` round steps. It begins at 0, unless all values are far from it."""
    if low > 0 and low < 0.6 * high:
        low = 0.0
    if high < 0 and high > 0.6 * low:
        high = 0.0
    if high <= low:
        low, high = (0.0, 2 * high) if high > 0 else (2 * low, 0.0) if low < 0 else (0.0, 1.0)
    step = _round_step((high - low) / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    low, high = first * step, last * step
    ticks = [Tick((n - first) / (last - first), _compact(n * step, unit)) for n in range(first, last + 1)]
    return ValueAxis(low, high, ticks)


def time_ticks(start: int, end: int, *, count: int = 6) -> list[Tick]:
    """Return at most about `count` round times between `start` and `end` (epoch ms)."""
    if end <= start:
        return [Tick(0.5, _text(_utc(start), _DAY_MS))]
    step = (end - start) / count
    found = [(at, _milliseconds(at)) for at in _round_times(_utc(start), _utc(end), step)]
    return [Tick((at_ms - start) / (end - start), _text(at, step)) for at, at_ms in found if start <= at_ms <= end]


def _compact(value: float, unit: Unit) -> str:
    """Return a short text: the title of the chart says the currency."""
    if unit == "share":
        return f"{100 * value:,.6g}{NARROW}%"
    if unit == "seconds":
        return written(round(value, 12), unit)
    size, letter = next(((size, letter) for size, letter in _SIZES if abs(value) >= size), (1.0, ""))
    return f"{value / size:,.6g}{letter}"


def _round_step(least: float) -> float:
    size = 10.0 ** math.floor(math.log10(least))
    return next(step * size for step in _STEPS if step * size >= least * (1 - 1e-9))


def _round_times(start: datetime, end: datetime, step: float) -> Iterator[datetime]:
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if step <= 14 * _DAY_MS:
        if step <= 12 * _HOUR_MS:
            length = timedelta(hours=next(hours for hours in _HOURS if hours * _HOUR_MS >= step))
        else:
            length = timedelta(days=next(days for days in _DAYS if days * _DAY_MS >= step))
        at = day
        while at <= end:
            yield at
            at += length
        return
    months = next((months for months in _MONTHS if months * 30.5 * _DAY_MS >= step), _MONTHS[-1])
    number = (start.year * 12 + start.month - 1) // months * months
    while (at := datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)) <= end:
        yield at
        number += months


def _text(at: datetime, step: float) -> str:
    if step <= 12 * _HOUR_MS:
        return f"{at:%H:%M}" if at.hour else f"{at.day} {at:%b}"
    if step <= 14 * _DAY_MS:
        return f"{at.day} {at:%b}"
    return f"{at:%b %Y}"


def _utc(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
