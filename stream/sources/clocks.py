"""Clocks: a date in one column and a clock time in another become one time.

Arrives: two columns, as `--time-col date,clock` names them. Leaves: one column of text that `stream.sources.times`
reads; an empty cell where the clock is none. Next: `stream.sources.nested` gives it to the readers as a column.

A clock is `16:30`, `4:30:05 PM`, digits without a colon (`5` is five past midnight, `930`, `1630`, `163005`), or the
part of a day as a spreadsheet stores it. Everything else is no clock: a date alone would put the event at midnight.
"""

import re
from typing import Any

import pandas as pd

from stream.sources.formats.columns import text

_WRITTEN = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*([AaPp])?\.?(?:[Mm]\.?)?")
_DIGITS = re.compile(r"\d{1,6}")
_PART = re.compile(r"0?\.\d+")
_COMPACT_DATE = re.compile(r"((?:19|20|21)\d{2})(\d{2})(\d{2})")
_SERIAL = re.compile(r"\d{5}")
_MIDNIGHT = re.compile(r"[T ]0?0:00(?::00(?:\.0+)?)?$")
DAY_SECONDS = 86_400


def joined(dates: "pd.Series[Any]", clocks: "pd.Series[Any]") -> "pd.Series[str]":
    """Return the time of each row as text, "" where it has no date or no clock."""
    seconds = {cell: seconds_of(cell) for cell in text(clocks).unique()}
    found = [_time(date, seconds[clock]) for date, clock in zip(text(dates), text(clocks), strict=True)]
    return pd.Series(found, index=dates.index, dtype="string")


def seconds_of(clock: str) -> int | None:
    """Return the seconds since midnight, None when the cell is no clock."""
    if written := _WRITTEN.fullmatch(clock):
        hours, minutes, seconds = (int(part or 0) for part in written.groups()[:3])
        half = (written[4] or "").upper()
        if half:
            if not 1 <= hours <= 12:
                return None
            hours = hours % 12 + (12 if half == "P" else 0)
    elif _PART.fullmatch(clock):
        return round(float(clock) * DAY_SECONDS)
    elif _DIGITS.fullmatch(clock):
        padded = clock.zfill(4 if len(clock) <= 4 else 6).ljust(6, "0")
        hours, minutes, seconds = int(padded[:2]), int(padded[2:4]), int(padded[4:])
    else:
        return None
    return hours * 3600 + minutes * 60 + seconds if hours < 24 and minutes < 60 and seconds < 60 else None


def _time(date: str, seconds: int | None) -> str:
    if not date or seconds is None:
        return ""
    if _SERIAL.fullmatch(date):
        return repr(int(date) + seconds / DAY_SECONDS)
    if compact := _COMPACT_DATE.fullmatch(date):
        date = "-".join(compact.groups())
    date = _MIDNIGHT.sub("", date)  # how a spreadsheet exports a date alone
    if ":" in date:
        return ""
    return f"{date} {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
