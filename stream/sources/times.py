"""Times: one reader of the times in files, for every source.

Arrives: a column of numbers, texts or times. Leaves: epoch milliseconds, NaN where a cell holds no time. Next:
`stream.sources.rules` refuses the rows without one.

Every form is known by itself and never guessed from other cells:

- Numbers by their size: seconds, milliseconds, microseconds or nanoseconds since 1970; `20110113` and
  `20110113102600`; days of Excel since 1900. No number fits two of them, because no event is before 1990.
- Text: dates of ISO 8601, of RFC 2822, of JavaScript, of spreadsheets. `13.01.2011` begins with the day. `01/13/2011`
  and `01-13-2011` begin with the month, or with the day when `day_first` is true: many dates fit both orders.
- Zones: an offset counts with the sign that it has (`GMT+0200` is two hours east), also behind GMT, UTC or Z. Rejected:
  pandas' own reading, which takes the sign of POSIX, the other way round. Of names only those count that mean one
  offset everywhere. A time without a zone is one of `zone`. The hour that a clock change repeats is the first one; an
  hour that it leaves out begins when the clock goes on.
"""

import re
import warnings
from datetime import UTC, tzinfo
from typing import Any

import numpy as np
import pandas as pd

from stream.sources.formats.columns import text

UNORDERED = "day or month first?"
"""The reason of a date that is not valid in the file's order of day and month."""

SCALES = ((1e11, 1e3), (1e14, 1.0), (1e17, 1e-3), (np.inf, 1e-6))
"""Numbers below the bound are of this many milliseconds: seconds, milliseconds, microseconds, nanoseconds. Each bound
is 1973 in the smaller unit and the year 5138 in the larger one."""

EXCEL_DAYS = (32_874.0, 73_052.0)
"""From 1990 to 2100, in days since the last day of 1899."""
EXCEL_EPOCH_DAYS = 25_569
DAY_MS = 86_400_000

_COMPACT_FORMS = ("yyyymmdd", "yyyymmddhhmmss")

ZONES = {
    **{"Z": 0, "UT": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "JST": 9},
    **{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7},
}
"""Hours east of Greenwich. The American names are those of RFC 2822, section 4.3; the others have one meaning only."""

_COMPACT = re.compile(r"(?:19|20|21)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:([01]\d|2[0-3])[0-5]\d[0-5]\d)?")
_YEAR = r"(?<![\d+.])(?<!\s-)(?:19|20|21)\d{2}(?!\d)|(?<!\d)(?:19|20|21)\d{6}(?!\d)"
_THREE_PARTS = r"(?<![\d:.])\d{1,2}([-/.])\d{1,2}\1\d{2}"
_DATED = re.compile(f"{_YEAR}|{_THREE_PARTS}")
"""Text with a date. Without it, a clock time, `today` or `5 March` would get the date of the import."""

_BEGINS_SHORT = r"^\d{1,2}[-/.]"
_ORDERED = re.compile(r"^(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")
"""A date that begins with its day or its month."""

_ISO = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+\-]\d{2}:\d{2})?)?"
_ISO_OFFSET = r"(?:Z|:\d{2}(?:\.\d+)?[+\-]\d{2}:\d{2})$"
"""What every second file holds: a date with or without a clock time and an offset."""

_ZONED = re.compile(
    r"(?<=[\d\s.])\s*(?P<name>[A-Z]{1,4})?\s*(?:(?P<sign>[+\-−])(?P<hours>\d{1,2})(?::?(?P<minutes>\d{2}))?)?"
    r"\s*(?P<words>\([^()]*\))?$"
)
_CLOCK = re.compile(r"\d:\d{2}")


def times(column: "pd.Series[Any]", *, day_first: bool = False, zone: tzinfo = UTC) -> "pd.Series[float]":
    """Return epoch milliseconds, cell by cell; NaN when a cell has no time."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _since_epoch(column)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "M":
        return _since_epoch(_local(column, zone))
    written = text(column)
    number = pd.to_numeric(written, errors="coerce").astype("float64")
    found = _by_size(number)
    days = (number >= EXCEL_DAYS[0]) & (number < EXCEL_DAYS[1])
    if zone is not UTC and days.any():  # a spreadsheet's clock is the one on its wall
        shown = pd.to_datetime(found[days], unit="ms")
        found = found.where(~days, _since_epoch(_local(shown, zone)).reindex(found.index))
    compact = number.notna() & written.str.fullmatch(_COMPACT).astype(bool)
    dated = (number.isna() & (written != "")) | compact
    if dated.any():
        found = found.where(~dated, _of_texts(written[dated], day_first, zone).reindex(found.index))
    return found


def form_of(column: "pd.Series[Any]") -> str:
    """Return in words how the cells write a time: the unit of numbers, or dates; several forms with commas between."""
    if isinstance(column.dtype, pd.DatetimeTZDtype) or getattr(column.dtype, "kind", "") == "M":
        return "of the file's own type"
    written = text(column)
    number = pd.to_numeric(written, errors="coerce").astype("float64")
    compact = number.notna() & written.str.fullmatch(_COMPACT).astype(bool)
    days = (number >= EXCEL_DAYS[0]) & (number < EXCEL_DAYS[1])
    masks = {
        f"digits of a date ({example})": compact & (written.str.len() == len(example)) for example in _COMPACT_FORMS
    }
    masks["days of a spreadsheet since 1900"] = days
    below = 0.0
    for (bound, _), unit in zip(SCALES, ("seconds", "milliseconds", "microseconds", "nanoseconds"), strict=True):
        masks[f"{unit} since 1970"] = (number >= below) & (number < bound) & ~compact & ~days
        below = bound
    masks["dates in words or digits"] = number.isna() & (written != "")
    return ", ".join(form for form, mask in masks.items() if mask.any())


def unordered(column: "pd.Series[Any]", *, day_first: bool = False) -> "pd.Series[bool]":
    """Return the mask of the dates that are not valid in the order in which `times` reads them."""
    if isinstance(column.dtype, pd.DatetimeTZDtype) or getattr(column.dtype, "kind", "") == "M":
        return pd.Series(False, index=column.index, dtype=bool)
    written = text(column)
    if not written.str.contains(_BEGINS_SHORT).any():
        return pd.Series(False, index=column.index, dtype=bool)
    parts = written[pd.to_numeric(written, errors="coerce").isna()].str.extract(_ORDERED)
    first, second = pd.to_numeric(parts[0]), pd.to_numeric(parts[2])
    month = second.where((parts[1] == ".").fillna(False) | day_first, first)
    wrong = ((month > 12) & (first + second - month <= 12)).fillna(False).astype(bool)
    return wrong.reindex(column.index, fill_value=False)


def _by_size(number: "pd.Series[float]") -> "pd.Series[float]":
    values = number.to_numpy()
    scaled = np.full(len(values), np.nan)
    below = 0.0
    for bound, scale in SCALES:
        chosen = (values >= below) & (values < bound)
        scaled[chosen] = values[chosen] * scale
        below = bound
    days = (values >= EXCEL_DAYS[0]) & (values < EXCEL_DAYS[1])
    scaled[days] = np.round((values[days] - EXCEL_EPOCH_DAYS) * DAY_MS)
    return pd.Series(scaled, index=number.index)


def _of_texts(written: "pd.Series[str]", day_first: bool, zone: tzinfo) -> "pd.Series[float]":
    iso = written.str.fullmatch(_ISO).astype(bool)
    if iso.all():  # most files: one call for the whole column instead of one for each cell
        found = pd.to_datetime(written, errors="coerce", format="ISO8601", utc=True)
        if zone is UTC:
            return _since_epoch(found)
        local = _since_epoch(_local(found.dt.tz_localize(None), zone))
        return _since_epoch(found).where(written.str.contains(_ISO_OFFSET), local)
    return _cell_by_cell(written, day_first, zone)


def _cell_by_cell(written: "pd.Series[str]", day_first: bool, zone: tzinfo) -> "pd.Series[float]":
    cells = [_split(cell, day_first=day_first) for cell in written]
    dates = pd.Series([date for date, _ in cells], index=written.index, dtype="string")
    offsets = pd.Series([np.nan if offset is None else offset for _, offset in cells], index=written.index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about words that are no zone: such a cell has no time
        # What is left has no zone, so everything is read on one clock.
        found = pd.to_datetime(dates, errors="coerce", format="mixed", utc=True)
    local = found.dt.tz_localize(None)
    read = _since_epoch(_local(local, zone)) if zone is not UTC else _since_epoch(found)
    return read.where(offsets.isna(), _since_epoch(found) - offsets * 60_000)


def _split(cell: str, *, day_first: bool) -> tuple[str | None, float | None]:
    """Return the date with its clock time in the order of ISO 8601, and its offset in minutes if it names one.

    The date is None when the cell has none, or names a zone that is not known.
    """
    if _COMPACT.fullmatch(cell):
        date, clock = cell[:8], cell[8:]
        return f"{date[:4]}-{date[4:6]}-{date[6:]} {clock[:2] or '00'}:{clock[2:4] or '00'}:{clock[4:] or '00'}", None
    if _DATED.search(cell) is None:
        return None, None
    offset = None
    colon = cell.find(":")
    # Nothing but digits behind the hour is no zone: the usual case, told apart without a search.
    plain = colon < 0 or cell[colon:].replace(":", "").replace(".", "").isdigit()
    zoned = None if plain or not _CLOCK.search(cell) else _ZONED.search(cell)
    if zoned is not None and zoned.group().strip():
        name, sign = zoned["name"], zoned["sign"]
        if name is not None and name not in ZONES and name not in ("AM", "PM"):
            return None, None
        if sign is not None and name in (None, "Z", "UT", "UTC", "GMT"):
            hours, minutes = int(zoned["hours"]), int(zoned["minutes"] or 0)
            if hours > 15 or minutes > 59:
                return None, None
            offset = (hours * 60 + minutes) * (1.0 if sign == "+" else -1.0)
        elif sign is not None:
            return None, None
        elif name in ZONES:
            offset = 60.0 * ZONES[name]
        if offset is not None:
            cell = cell[: zoned.start()].rstrip()
    return _in_order(cell, day_first=day_first), offset


def _in_order(cell: str, *, day_first: bool) -> str:
    found = _ORDERED.match(cell)
    if found is None:
        return cell
    first, mark, second, year = found.groups()
    month, day = (second, first) if day_first or mark == "." else (first, second)
    if len(year) == 2:
        year = f"{19 if int(year) >= 70 else 20}{year}"
    return f"{year}-{month:>02}-{day:>02}{cell[found.end() :]}"


def _local(column: "pd.Series[Any]", zone: tzinfo) -> "pd.Series[Any]":
    first = np.ones(len(column), dtype=np.bool_)
    local = column.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    found: pd.Series[Any] = local.dt.tz_convert("UTC")
    return found


def _since_epoch(column: "pd.Series[Any]") -> "pd.Series[float]":
    return ((column - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(milliseconds=1)).round()
