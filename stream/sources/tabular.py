"""Any file with a user, an item and, if there is one, a time, a type, a rating or price and a quantity.

Arrives: CSV, TSV, JSON lines or Parquet and, where the header does not say it, which column is what. Leaves: events;
every row that cannot be one is counted by its reason.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stream.events import EARLIEST, MAX_ID_LENGTH, EventType, milliseconds
from stream.sources.files import LATEST_MS, UnreadableFile, listed, plain_name, read_columns, text
from stream.sources.table import COLUMNS, EventTable, sample_users

KNOWN_HEADERS: Mapping[str, tuple[str, ...]] = {
    "user": (
        "user_id",
        "user",
        "reviewerid",
        "reviewer_id",
        "userid",
        "visitorid",
        "customer_id",
        "customer id",
        "customerid",
        "uid",
    ),
    "item": (
        "item_id",
        "item",
        "parent_asin",
        "asin",
        "itemid",
        "movieid",
        "movie_id",
        "product_id",
        "stockcode",
        "stock_code",
        "sku",
        "iid",
    ),
    "time": (
        "event_time",
        "timestamp",
        "unixreviewtime",
        "time",
        "unixtime",
        "ts",
        "datetime",
        "date",
        "invoicedate",
        "invoice_date",
    ),
    "value": ("value", "rating", "overall", "score", "price"),
    "type": ("event_type", "event", "type", "behavior"),
    "quantity": ("quantity", "qty", "count"),
}
"""Header names (lower case) that shops and published files use, by meaning."""

PRICES = ("price",)
"""Values that are paid, not given: such a row is a purchase and no rating."""

TYPE_NAMES = {"addtocart": "cart", "add_to_cart": "cart", "transaction": "purchase", "buy": "purchase"}

MAX_QUANTITY = 1_000_000


@dataclass(frozen=True)
class ColumnMapping:
    """Which column holds what; None where there is none."""

    user: str
    item: str
    time: str | None = None
    value: str | None = None
    type: str | None = None
    quantity: str | None = None


def guess_columns(header: list[str], given: Mapping[str, str | None] | None = None) -> ColumnMapping:
    """The mapping that the header makes obvious, `given` names first; raises `UnreadableFile` without user or item."""
    found: dict[str, str] = {}
    lower = {plain_name(name): name for name in header}
    for meaning, names in KNOWN_HEADERS.items():
        chosen = (given or {}).get(meaning)
        if chosen is not None:
            if chosen not in header:
                raise UnreadableFile(f"no column {chosen!r}: the file has {listed(header)}")
            found[meaning] = chosen
        else:
            match = next((lower[name] for name in names if name in lower), None)
            if match is not None:
                found[meaning] = match
    missing = [meaning for meaning in ("user", "item") if meaning not in found]
    if missing:
        raise UnreadableFile(f"no column for {' and '.join(missing)}: the file has {listed(header)}")
    return ColumnMapping(**found)


def read(
    path: Path,
    *,
    columns: Mapping[str, str | None] | None = None,
    names: Sequence[str] | None = None,
    users: int | None = None,
    min_item_users: int = 1,
    seed: int = 0,
) -> EventTable:
    """Every row that is an event. A file without times keeps its order, one second a row from 1990 on.

    `names` are the columns of a CSV or TSV file without a header. Raises `UnreadableFile` for a file that is no table,
    has no such column, or is of another encoding than UTF-8.
    """
    raw, rejected = read_columns(path, names=names)
    mapping = guess_columns([str(name) for name in raw.columns], columns)

    table = pd.DataFrame({"user_id": text(raw[mapping.user]), "item_id": text(raw[mapping.item])})
    table["event_time"] = _times(raw[mapping.time]) if mapping.time else milliseconds(EARLIEST) + raw.index * 1000
    table["value"] = _number(raw[mapping.value]) if mapping.value else float("nan")
    table["quantity"] = _number(raw[mapping.quantity]) if mapping.quantity else float("nan")
    rated = mapping.value is not None and plain_name(mapping.value) not in PRICES
    default = EventType.RATING.value if rated else EventType.PURCHASE.value
    table["event_type"] = text(raw[mapping.type]).str.lower().replace(TYPE_NAMES) if mapping.type else default

    reasons = {
        "no user": table["user_id"].str.len() == 0,
        "no item": table["item_id"].str.len() == 0,
        "id too long": (table["user_id"].str.len() > MAX_ID_LENGTH) | (table["item_id"].str.len() > MAX_ID_LENGTH),
        "no time": ~table["event_time"].between(milliseconds(EARLIEST), LATEST_MS),
        "unknown type": ~table["event_type"].isin([kind.value for kind in EventType]),
        "value is no number": ~np.isfinite(table["value"]) if mapping.value else pd.Series(False, index=table.index),
        "quantity out of bounds": (table["quantity"] < 1) | (table["quantity"] > MAX_QUANTITY),
    }
    bad = pd.Series(False, index=table.index)
    for reason, rows in reasons.items():
        rows = rows.astype(bool) & ~bad
        if rows.any():
            rejected[reason] = int(rows.sum())
        bad |= rows
    good = table[~bad]
    # The same row of the same file is the same event, however often and under whatever name the file is imported.
    with path.open("rb") as file:
        mark = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    good = good.assign(event_id=[f"{mark}-{row}" for row in good.index], event_time=good["event_time"].astype("int64"))
    good = sample_users(good[list(COLUMNS)], users, min_item_users=min_item_users, seed=seed)
    good = good.sort_values("event_time", kind="stable", ignore_index=True)
    return EventTable(good, [], rejected)


def _times(column: "pd.Series[Any]") -> "pd.Series[float]":
    """Epoch milliseconds from seconds, milliseconds or dates, told apart by their size; NaN where it is none."""
    if not isinstance(column.dtype, np.dtype | pd.DatetimeTZDtype) or column.dtype == object:
        number = _number(column)
        if number.notna().mean() > 0.5:
            return number.where(number > 1e11, number * 1000)
        column = pd.to_datetime(text(column), errors="coerce", utc=True, format="mixed")
    elif not isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_localize("UTC")
    return ((column - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(milliseconds=1)).round()


def _number(column: "pd.Series[Any]") -> "pd.Series[float]":
    """Floats, NaN where it is none."""
    return pd.to_numeric(text(column), errors="coerce").astype("float64")
