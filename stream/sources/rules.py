"""What makes a row an event: the one set of rules for every source, whether it is read whole or block by block.

Arrives: a block's cells as columns `user_id`, `item_id`, `event_type` (text), `event_time` (epoch ms), `value` and
`quantity` (numbers). Leaves: the rows that are events; each other one is a `Rejection` with the first rule that it
breaks. Next: the sources make events of the rows.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stream.events import EARLIEST, MAX_ID_LENGTH, EventType, milliseconds
from stream.sources.columns import Block, text
from stream.sources.rejections import Rejections

LATEST_MS = 4_102_444_800_000
"""The year 2100: what lies beyond is a time in another unit, or none."""

MAX_QUANTITY = 1_000_000
SMALLEST_MS = 1e11
"""A number below is a time in seconds, above one in milliseconds: they meet in 1973 and in the year 5138."""

_CONTROL = r"[\x00-\x1f\x7f]"
"""PostgreSQL cannot hold the first of them, and the others mean that a cell was torn."""


def base_rules(table: pd.DataFrame, *, latest_ms: int, valued: bool) -> dict[str, "pd.Series[bool]"]:
    """Which rows break which rule, by reason; `valued`: a row without a value is none."""
    users, items, times = table["user_id"], table["item_id"], table["event_time"]
    return {
        "no user": users.str.len() == 0,
        "no item": items.str.len() == 0,
        "id too long": (users.str.len() > MAX_ID_LENGTH) | (items.str.len() > MAX_ID_LENGTH),
        "a control character in an id": users.str.contains(_CONTROL) | items.str.contains(_CONTROL),
        "no time": ~times.between(milliseconds(EARLIEST), LATEST_MS),
        "a time to come": times > latest_ms,
        "unknown type": ~table["event_type"].isin([kind.value for kind in EventType]),
        "value is no number": pd.Series(~np.isfinite(table["value"]) if valued else False, index=table.index),
        "quantity out of bounds": (table["quantity"] < 1) | (table["quantity"] > MAX_QUANTITY),
    }


def kept(
    table: pd.DataFrame,
    block: Block,
    rules: Mapping[str, "pd.Series[bool]"],
    rejections: Rejections,
    *,
    path: Path | str,
    unit: str,
) -> pd.DataFrame:
    """The rows that break no rule; `table` has the rows of `block`."""
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


def times(column: "pd.Series[Any]") -> "pd.Series[float]":
    """Epoch milliseconds from seconds, milliseconds or dates, each cell for itself; NaN where it is none."""
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
            warnings.simplefilter("ignore")  # of zones that have no name: such a cell is none
            found = pd.to_datetime(written[dated], errors="coerce", utc=True, format="mixed")
        number = number.where(~dated, _since_epoch(found).reindex(number.index))
    return number


def numbers(column: "pd.Series[Any]") -> "pd.Series[float]":
    """Floats, NaN where it is none."""
    return pd.to_numeric(text(column), errors="coerce").astype("float64")


def _since_epoch(column: "pd.Series[Any]") -> "pd.Series[float]":
    return ((column - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(milliseconds=1)).round()
