"""Rules: one set of rules, for every source, that decide whether a row is an event.

Arrives: the cells of a block as columns `user_id`, `item_id`, `event_type` (text), `event_time` (epoch ms), `value` and
`quantity` (numbers), and perhaps `order_id` and `currency` (text). Leaves: the rows that are events; each other row is
a `Rejection` with the first rule that it breaks. Next: the sources make events of the rows.
"""

import re
import warnings
from collections.abc import Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stream.events import EARLIEST, MAX_ID_LENGTH, EventType, milliseconds
from stream.sources.formats.columns import LATEST_MS, Block, text
from stream.sources.rejections import Rejections

MAX_QUANTITY = 1_000_000
SMALLEST_MS = 1e11
"""Smaller numbers are seconds, larger numbers are milliseconds: 1973 in milliseconds, the year 5138 in seconds."""

UNORDERED = "day or month first?"
"""The reason of a date that is not valid in the file's order of day and month."""

_YEAR = r"(?<![\d+.])(?<!\s-)(?:19|20|21)\d{2}(?!\d)|(?<!\d)(?:19|20|21)\d{6}(?!\d)"
_THREE_PARTS = r"(?<![\d:.])\d{1,2}([-/.])\d{1,2}\1\d{2}"
_DATED = re.compile(f"{_YEAR}|{_THREE_PARTS}")
"""Text with a date. Without it, a clock time, `today` or `5 March` would get the date of the import."""

_ORDERED = re.compile(r"^(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")
"""A date that begins with its day or its month."""

_CURRENCY = r"(?:[A-Z]{3})?"
"""An ISO 4217 code; a cell may be empty."""

_CONTROL = r"[\x00-\x1f\x7f]"
"""PostgreSQL cannot store the first one, and the others show that a cell is damaged."""


def base_rules(table: pd.DataFrame, *, latest_ms: int, valued: bool) -> dict[str, "pd.Series[bool]"]:
    """Return the mask of the rows that break each rule, by reason. `valued`: a row without a value is rejected."""
    users, items, times = table["user_id"], table["item_id"], table["event_time"]
    ids = [table[name] for name in ("user_id", "item_id", "order_id") if name in table]
    rules = {
        "no user": users.str.len() == 0,
        "no item": items.str.len() == 0,
        "id too long": reduce(or_, [column.str.len() > MAX_ID_LENGTH for column in ids]),
        "a control character in an id": reduce(or_, [column.str.contains(_CONTROL) for column in ids]),
        "no time": ~times.between(milliseconds(EARLIEST), LATEST_MS),
        "a time to come": times > latest_ms,
        "unknown type": ~table["event_type"].isin([kind.value for kind in EventType]),
        "value is no number": pd.Series(~np.isfinite(table["value"]) if valued else False, index=table.index),
        "quantity out of bounds": (table["quantity"] < 1) | (table["quantity"] > MAX_QUANTITY),
    }
    if "currency" in table:
        rules["a currency is three letters"] = ~table["currency"].str.fullmatch(_CURRENCY)
    return rules


def kept(
    table: pd.DataFrame,
    block: Block,
    rules: Mapping[str, "pd.Series[bool]"],
    rejections: Rejections,
    *,
    path: Path | str,
    unit: str,
) -> pd.DataFrame:
    """Return the rows that break no rule and report the others. `table` has the rows of `block`."""
    bad = np.zeros(len(table), dtype=np.bool_)
    for reason, mask in rules.items():
        rows = np.flatnonzero(mask.to_numpy(dtype=np.bool_) & ~bad)
        told = rejections.room(reason, len(rows))
        for row in rows[:told].tolist():
            rejections.add(path, unit, int(block.places[row]), reason, block.shown(row))
        if len(rows) > told:
            rejections.counts[reason] += len(rows) - told
        bad[rows] = True
    return table[~bad]


def times(column: "pd.Series[Any]", *, day_first: bool = False) -> "pd.Series[float]":
    """Return epoch milliseconds of seconds, milliseconds or dates, cell by cell; NaN when a cell has no time.

    `13.01.2011` begins with the day. `01/13/2011` and `01-13-2011` begin with the month, or with the day when
    `day_first` is true. The order is never guessed from a cell, because many dates fit both orders.
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _since_epoch(column)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "M":
        return _since_epoch(column.dt.tz_localize("UTC"))
    written = text(column)
    number = pd.to_numeric(written, errors="coerce").astype("float64")
    number = number.where(number > SMALLEST_MS, number * 1000)
    dated = number.isna() & (written != "")
    if dated.any():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unknown time zones: such a cell has no time
            dates = written[dated].map(lambda cell: _in_order(cell, day_first=day_first)).astype("string")
            found = pd.to_datetime(dates, errors="coerce", utc=True, format="mixed")
        number = number.where(~dated, _since_epoch(found).reindex(number.index))
    return number


def unordered(column: "pd.Series[Any]", *, day_first: bool = False) -> "pd.Series[bool]":
    """Return the mask of the dates that are not valid in the order in which `times` reads them."""
    if isinstance(column.dtype, pd.DatetimeTZDtype) or getattr(column.dtype, "kind", "") == "M":
        return pd.Series(False, index=column.index, dtype=bool)
    written = text(column)
    parts = written[pd.to_numeric(written, errors="coerce").isna()].str.extract(_ORDERED)
    first, second = pd.to_numeric(parts[0]), pd.to_numeric(parts[2])
    month = second.where((parts[1] == ".").fillna(False) | day_first, first)
    wrong = ((month > 12) & (first + second - month <= 12)).fillna(False).astype(bool)
    return wrong.reindex(column.index, fill_value=False)


def _in_order(cell: str, *, day_first: bool) -> str | None:
    """Return the cell with its date in the order of ISO 8601; None when the cell has no date."""
    if _DATED.search(cell) is None:
        return None
    found = _ORDERED.match(cell)
    if found is None:
        return cell
    first, mark, second, year = found.groups()
    month, day = (second, first) if day_first or mark == "." else (first, second)
    if len(year) == 2:
        year = f"{19 if int(year) >= 70 else 20}{year}"
    return f"{year}-{month:>02}-{day:>02}{cell[found.end() :]}"


def numbers(column: "pd.Series[Any]") -> "pd.Series[float]":
    """Return floats; NaN when a cell is not a number."""
    return pd.to_numeric(text(column), errors="coerce").astype("float64")


def _since_epoch(column: "pd.Series[Any]") -> "pd.Series[float]":
    return ((column - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(milliseconds=1)).round()
