"""Any CSV or TSV file with a user, an item and, if there is one, a time, a type, a rating and a quantity.

Arrives: a file and, where the header does not say it, which column is what. Leaves: events; every row that cannot be
one is counted by its reason.
"""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stream.events import EARLIEST, MAX_ID_LENGTH, EventType, milliseconds
from stream.sources.table import COLUMNS, EventTable, sample_users

KNOWN_HEADERS: Mapping[str, tuple[str, ...]] = {
    "user": ("user_id", "user", "reviewerid", "userid", "visitorid", "customer_id", "customer id", "uid"),
    "item": ("item_id", "item", "parent_asin", "asin", "itemid", "movieid", "product_id", "stockcode", "iid"),
    "time": ("event_time", "timestamp", "unixreviewtime", "time", "unixtime", "ts", "date", "invoicedate"),
    "value": ("value", "rating", "overall", "price", "score"),
    "type": ("event_type", "event", "type", "behavior"),
    "quantity": ("quantity", "qty", "count"),
}
"""Header names (lower case) that shops and published files use, by meaning."""

TYPE_NAMES = {"addtocart": "cart", "add_to_cart": "cart", "transaction": "purchase", "buy": "purchase"}


LATEST_MS = 4_102_444_800_000
"""The year 2100: what lies beyond is a time in another unit, or none."""

MAX_QUANTITY = 1_000_000


class UnreadableFile(ValueError):
    """The file cannot be read as a table of events; the message says why."""


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
    lower = {name.strip().lower(): name for name in header}
    for meaning, names in KNOWN_HEADERS.items():
        chosen = (given or {}).get(meaning)
        if chosen is not None:
            if chosen not in header:
                raise UnreadableFile(f"no column {chosen!r}: the file has {', '.join(header)}")
            found[meaning] = chosen
        else:
            match = next((lower[name] for name in names if name in lower), None)
            if match is not None:
                found[meaning] = match
    missing = [meaning for meaning in ("user", "item") if meaning not in found]
    if missing:
        raise UnreadableFile(f"no column for {' and '.join(missing)}: the file has {', '.join(header)}")
    return ColumnMapping(**found)


def read(
    path: Path,
    *,
    columns: Mapping[str, str | None] | None = None,
    users: int | None = None,
    min_item_users: int = 1,
    seed: int = 0,
) -> EventTable:
    """Every row that is an event. A file without times keeps its order, one second a row from 1990 on.

    Raises `UnreadableFile` for a file that is no table, has no such column, or is of another encoding than UTF-8.
    """
    separator = "\t" if any(suffix in (".tsv", ".tab") for suffix in path.suffixes) else ","
    try:
        with warnings.catch_warnings():
            # Else cells beyond the header would be dropped, or taken for row names, with no more than a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            raw = pd.read_csv(
                path, sep=separator, dtype="string", encoding="utf-8", keep_default_na=False, index_col=False
            )
    except pd.errors.ParserWarning as error:
        raise UnreadableFile(f"{path}: rows have more cells than the header has names") from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, EOFError, OSError) as error:
        raise UnreadableFile(f"{path}: {error}") from error
    mapping = guess_columns([str(name) for name in raw.columns], columns)

    table = pd.DataFrame({"user_id": raw[mapping.user].str.strip(), "item_id": raw[mapping.item].str.strip()})
    table["event_time"] = _times(raw[mapping.time]) if mapping.time else milliseconds(EARLIEST) + raw.index * 1000
    table["value"] = _number(raw[mapping.value]) if mapping.value else float("nan")
    table["quantity"] = _number(raw[mapping.quantity]) if mapping.quantity else float("nan")
    default = EventType.RATING.value if mapping.value else EventType.PURCHASE.value
    kinds = raw[mapping.type].str.strip().str.lower().replace(TYPE_NAMES) if mapping.type else default
    table["event_type"] = kinds

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
    rejected = {}
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


def _times(column: "pd.Series[str]") -> "pd.Series[float]":
    """Epoch milliseconds from seconds, milliseconds or dates, told apart by their size; NaN where it is none."""
    number = _number(column)
    if number.notna().mean() > 0.5:
        return number.where(number > 1e11, number * 1000)
    stamps = pd.to_datetime(column, errors="coerce", utc=True, format="mixed")
    return ((stamps - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(milliseconds=1)).round()


def _number(column: "pd.Series[str]") -> "pd.Series[float]":
    """Floats, NaN where it is none."""
    return pd.to_numeric(column, errors="coerce").astype("float64")
