"""Rules: one set of rules, for every source, that decide whether a row is an event.

Arrives: the cells of a block as columns `user_id`, `item_id`, `event_type` (text), `event_time` (epoch ms), `value` and
`quantity` (numbers), and perhaps `order_id` and `currency` (text). Leaves: the rows that are events; each other row is
a `Rejection` with the first rule that it breaks. Next: the sources make events of the rows.
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stream.events import EARLIEST, MAX_ID_LENGTH, MAX_QUANTITY, EventType, milliseconds
from stream.sources.formats.columns import LATEST_MS, Block, text
from stream.sources.rejections import Rejections

_CONTROL = r"[\x00-\x1f\x7f]"
"""PostgreSQL cannot store the first one, and the others show that a cell is damaged."""


def base_rules(table: pd.DataFrame, *, latest_ms: int) -> dict[str, "pd.Series[bool]"]:
    """Return the mask of the rows that break each rule, by reason.

    Only a rating needs its value. Another event counts without a price, as a view does that never had one.
    """
    users, items, times = table["user_id"], table["item_id"], table["event_time"]
    ids = [table[name] for name in ("user_id", "item_id", "order_id") if name in table]
    return {
        "no user": users.str.len() == 0,
        "no item": items.str.len() == 0,
        "id too long": reduce(or_, [column.str.len() > MAX_ID_LENGTH for column in ids]),
        "a control character in an id": reduce(or_, [column.str.contains(_CONTROL) for column in ids]),
        "no time": ~times.between(milliseconds(EARLIEST), LATEST_MS),
        "a time to come": times > latest_ms,
        "unknown type": ~table["event_type"].isin([kind.value for kind in EventType]),
        "rating is no number": (table["event_type"] == EventType.RATING.value) & ~np.isfinite(table["value"]),
        "quantity out of bounds": (table["quantity"] <= 0) | (table["quantity"] > MAX_QUANTITY),
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


def numbers(column: "pd.Series[Any]") -> "pd.Series[float]":
    """Return floats; NaN when a cell is not a number."""
    return pd.to_numeric(text(column), errors="coerce").astype("float64")
