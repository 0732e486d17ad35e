"""Written: how the dashboard writes a value: 4.25 %, 12,345, 3.2 min, 1,234.50 EUR; a dash where nothing was measured.

Arrives: a value and its unit (`serving.dashboard.blocks`). Leaves: text. Times are in UTC. Next: `blocks`, `charts`.
"""

import math
from datetime import UTC, datetime

from serving.dashboard.blocks import Unit

DASH = "–"
NARROW = "\N{NARROW NO-BREAK SPACE}"
_SPANS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_LARGEST_MS = 253_402_300_799_999  # the end of the year 9999


def written(value: str | float | None, unit: Unit, currency: str = "") -> str:
    """Return the value as text. Text stays as it is, whatever the unit."""
    if value is None:
        return DASH
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return DASH
    if unit == "time":
        return moment(int(value))
    if unit == "share":
        return f"{_short(100 * value)}{NARROW}%"
    if unit == "money":
        return f"{value:,.2f} {currency}".rstrip()
    if unit == "seconds":
        return _span(value)
    return f"{value:,.0f}" if unit == "count" else _short(value)


def between(low: float | None, high: float | None, unit: Unit, currency: str = "") -> str:
    """Return the ends of an interval, the unit once; empty without both ends."""
    if low is None or high is None:
        return ""
    first, last = written(low, unit, currency), written(high, unit, currency)
    mark = f"{NARROW}%" if unit == "share" else f" {currency}" if unit == "money" and currency else ""
    return f"{first.removesuffix(mark) if mark else first} to {last}"


def moment(at: int) -> str:
    """Return the time (epoch ms) to the minute, as 2026-03-01 14:05 UTC; a dash outside the years 1970 to 9999."""
    if not 0 <= at <= _LARGEST_MS:
        return DASH
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def age(seconds: float) -> str:
    """Return how long ago something was, in words."""
    for length, name in _SPANS:
        if seconds >= length:
            return f"{math.floor(seconds / length)}{NARROW}{name} ago"
    return "now"


def _span(seconds: float) -> str:
    for length, name in _SPANS:
        if abs(seconds) >= length:
            return f"{_short(seconds / length)}{NARROW}{name}"
    return "0" + NARROW + "s" if seconds == 0 else f"{_short(1000 * seconds)}{NARROW}ms"


def _short(value: float) -> str:
    """Return three significant digits, or all digits before the point."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.2e}")
    digits = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{value:.2e}" if digits > 6 else f"{value:,.{digits}f}"
