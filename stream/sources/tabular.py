"""Tables: any file with a user and an item, and optionally a time, a type, a rating or price, a quantity and an order.

Arrives: CSV, TSV, JSON or Parquet, and column names where the header does not tell the meaning. Leaves: events, block
by block or as a table; rejected rows are counted by reason. Two equal rows are two events, because many shops write one
line for each piece. Next: `stream.sources.source`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stream.events import EARLIEST, EventType, milliseconds
from stream.sources.files.compressed import UnreadableFile, content_mark, listed
from stream.sources.formats.columns import Block, is_nested, plain_name, text
from stream.sources.formats.opening import open_columns
from stream.sources.options import SourceOptions
from stream.sources.rules import UNORDERED, base_rules, kept, numbers, times, unordered
from stream.sources.source import Part, Reading, Source
from stream.sources.table import COLUMNS, ORDER_COLUMNS, EventTable

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
    "order": (
        "order_id",
        "orderid",
        "order_number",
        "transactionid",
        "transaction_id",
        "basket_id",
        "invoice",
        "invoiceno",
    ),
    "currency": ("currency", "currency_code"),
}
"""Header names (lower case) of shops and published files, by meaning."""

PRICES = ("price",)
"""Value columns that are prices: such a row is a purchase, not a rating."""

TYPE_NAMES = {"addtocart": "cart", "add_to_cart": "cart", "transaction": "purchase", "buy": "purchase"}

TABLE = "a table"
NO_TEXT = "id is no text"


@dataclass(frozen=True)
class ColumnMapping:
    """The column of each meaning; None: the file has no such column."""

    user: str
    item: str
    time: str | None = None
    value: str | None = None
    type: str | None = None
    quantity: str | None = None
    order: str | None = None
    currency: str | None = None

    @property
    def columns(self) -> list[str]:
        """The columns to read."""
        return list(dict.fromkeys(name for name in astuple(self) if name is not None))


def guess_columns(header: list[str], given: Mapping[str, str | None] | None = None) -> ColumnMapping:
    """Return the mapping of a header; `given` names come first. Raises `UnreadableFile` without user or item."""
    found: dict[str, str] = {}
    lower = {plain_name(name): name for name in reversed(header)}  # of equal names the first
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


def events_part(
    path: Path,
    *,
    form: str = TABLE,
    options: SourceOptions | None = None,
) -> Part:
    """Return the part of a file of interactions. Without times the rows keep their order, one second each from 1990
    on."""
    options = options or SourceOptions()
    day_first = options.day_first

    def blocks(reading: Reading) -> Iterator[pd.DataFrame]:
        with open_columns(path, reading.rejections, options.layout) as file:
            mapping = guess_columns(file.header, options.columns)
            mark = content_mark(path, stop=reading.stop)
            if mark is None:
                return
            for block in file.blocks(mapping.columns):
                table = event_columns(block, mapping, day_first=day_first)
                rules = {NO_TEXT: is_nested(block.table[mapping.user]) | is_nested(block.table[mapping.item])}
                if mapping.time is not None:
                    rules[UNORDERED] = unordered(block.table[mapping.time], day_first=day_first)
                rules |= base_rules(table, latest_ms=reading.latest_ms, valued=mapping.value is not None)
                good = kept(table, block, rules, reading.rejections, path=path, unit=file.unit)
                reading.share = file.share
                yield with_ids(good, mark, block)

    return Part(path, form, blocks)


def event_columns(block: Block, mapping: ColumnMapping, *, day_first: bool = False) -> pd.DataFrame:
    """Return the cells of a block by meaning, in the form that the rules need."""
    raw = block.table
    nothing = pd.Series(np.nan, index=raw.index)
    order = pd.Series(milliseconds(EARLIEST) + block.numbers.astype(np.float64) * 1000, index=raw.index)
    rated = mapping.value is not None and plain_name(mapping.value) not in PRICES
    default = EventType.RATING.value if rated else EventType.PURCHASE.value
    orders = {"order_id": text(raw[mapping.order])} if mapping.order else {}
    if mapping.currency:
        orders["currency"] = text(raw[mapping.currency]).str.upper()
    return pd.DataFrame(
        {
            "event_type": text(raw[mapping.type]).str.lower().replace(TYPE_NAMES) if mapping.type else default,
            "user_id": text(raw[mapping.user]),
            "item_id": text(raw[mapping.item]),
            "event_time": times(raw[mapping.time], day_first=day_first) if mapping.time else order,
            "value": numbers(raw[mapping.value]) if mapping.value else nothing,
            "quantity": numbers(raw[mapping.quantity]) if mapping.quantity else nothing,
            **orders,
        }
    )


def with_ids(good: pd.DataFrame, mark: str, block: Block) -> pd.DataFrame:
    """Return `good` (rows of the block) as rows of a table. The event id is the file's mark and the row's number."""
    numbers = block.numbers[good.index.to_numpy()].tolist()
    ids = pd.Series([f"{mark}-{number}" for number in numbers], index=good.index, dtype="string")
    known = [*COLUMNS, *(name for name in ORDER_COLUMNS if name in good)]
    return good.assign(event_id=ids, event_time=good["event_time"].astype("int64"))[known]


def read(
    path: Path,
    options: SourceOptions | None = None,
    *,
    users: int | None = None,
    min_item_users: int = 1,
    seed: int = 0,
) -> EventTable:
    """Read all events of a file into memory, sorted by time.

    Raises `UnreadableFile` when the file is not a table or has no user or item column.
    """
    part = events_part(path, options=options)
    return Source([part]).read(Reading(), users=users, min_item_users=min_item_users, seed=seed)
