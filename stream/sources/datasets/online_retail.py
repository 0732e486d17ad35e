"""UCI Online Retail and Online Retail II: reads two years of invoices from a British gift shop.

Arrives: the sheets as CSV or Parquet, one row for each invoice line (`Invoice,StockCode,Description,Quantity,
InvoiceDate,Price,Customer ID,Country`, or the names of the first edition). Leaves: purchases and cancellations of known
customers, and items. Next: `stream.sources.source`.

Cancellations: an invoice number with `C` at its beginning cancels a purchase (`graphstore.takebacks`). The quantity is
made positive. The invoice of a purchase is its order; a cancellation has an invoice of its own, which names no order.
Rejected: to reject these lines, because the edge would then keep purchases that were never delivered.

Rejected lines: lines without a customer or a price, and lines for postage, fees and other manual entries. Each is
rejected with its reason.

Dates: copies of the first edition that an American spreadsheet saved have the month first (`12/1/2010 8:26`). British
copies have the day first (`01/12/2010 08:26`). The invoices begin on the first of December, so that date decides at
the beginning of a file. In a part of the data a day over 12 in the first block does. A date that does not fit is
rejected.

Titles: a code has several descriptions, and some are notes of the warehouse. The title is the most frequent description
in the lines that become events. The price is also the most frequent one.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from stream.events import CatalogItem, EventType
from stream.sources.files.compressed import UnreadableFile, changed_at, content_mark, listed
from stream.sources.formats.columns import text
from stream.sources.formats.opening import header_of, open_columns
from stream.sources.headers import plain_name
from stream.sources.item_entries import Entry, plain_text
from stream.sources.rules import base_rules, kept, numbers
from stream.sources.source import Found, Part, Reading, Source, UnknownForm, recognised
from stream.sources.tabular import with_ids
from stream.sources.times import UNORDERED, times, unordered

HEADERS = {
    "invoice": ("invoice", "invoiceno"),
    "code": ("stockcode", "stock_code"),
    "description": ("description",),
    "quantity": ("quantity",),
    "time": ("invoicedate", "invoice_date", "ts"),
    "price": ("price", "unitprice"),
    "customer": ("customer id", "customerid", "customer_id"),
}
"""Header names (lower case) of both editions, by meaning."""

NO_PRODUCT = r"POST|DOT|C2|C3|M|D|S|B|ADJUST\d*|AMAZONFEE|BANK CHARGES|CRUK|GIFT.*|TEST\d*"
"""Codes (upper case) of postage, carriage, manual entries, discounts, samples, debts, fees, vouchers and tests."""

MAX_CODES = 1_000_000
MAX_DESCRIPTIONS = 100
"""The number of different descriptions, and of prices, counted for each code. Further ones are ignored."""

_WHOLE = re.compile(r"\.0+$")


def open_files(paths: Sequence[Path]) -> Source:
    """Return the source for these files and folders. Raises `UnreadableFile`."""
    return recognised(paths, _recognise)


def _recognise(path: Path) -> Part:
    header = header_of(path)
    plain = {plain_name(name): name for name in reversed(header)}
    columns = {what: next((plain[name] for name in names if name in plain), "") for what, names in HEADERS.items()}
    if missing := [what for what, name in columns.items() if not name]:
        raise UnknownForm(f"{path}: no Online Retail file: no column for {', '.join(missing)}: it has {listed(header)}")
    return Part(path, "UCI Online Retail", lambda reading: _blocks(path, columns, reading))


def _blocks(path: Path, columns: dict[str, str], reading: Reading) -> Iterator[Found]:
    shelf, moment = _Shelf(), changed_at(path)
    day_first: bool | None = None
    with open_columns(path, reading.rejections) as file:
        mark = content_mark(path, stop=reading.stop)
        if mark is None:
            return
        for block in file.blocks(list(columns.values())):
            cells = {what: block.table[name] for what, name in columns.items()}
            quantity, price = numbers(cells["quantity"]), numbers(cells["price"])
            invoices = text(cells["invoice"]).str.replace(_WHOLE, "", regex=True)
            cancelled = invoices.str.upper().str.startswith("C")
            codes = text(cells["code"]).str.upper()
            if day_first is None:
                day_first = _day_first(text(cells["time"]))
            table = pd.DataFrame(
                {
                    "event_type": np.where(cancelled, EventType.CANCEL.value, EventType.PURCHASE.value),
                    "user_id": text(cells["customer"]).str.replace(_WHOLE, "", regex=True),
                    "item_id": codes,
                    "event_time": times(cells["time"], day_first=day_first),
                    "value": price,
                    "quantity": quantity.where(~cancelled, -quantity),
                    "order_id": invoices.where(~cancelled, ""),
                }
            )
            rules = {UNORDERED: unordered(cells["time"], day_first=day_first)}
            rules |= base_rules(table, latest_ms=reading.latest_ms)
            rules["value is no number"] = price.isna() | price.abs().eq(np.inf)
            rules["no product: postage, a fee or an entry by hand"] = codes.str.fullmatch(NO_PRODUCT)
            rules["no price: a gift, a sample or a correction"] = price <= 0
            good = kept(table, block, rules, reading.rejections, path=path, unit=file.unit)
            shelf.add(good, text(cells["description"]))
            reading.share = file.share
            yield with_ids(good, mark, block)
    yield shelf.items(moment)


def _day_first(written: "pd.Series[str]") -> bool:
    """Return whether the dates of the file's first block begin with the day."""
    parts = written.str.extract(r"^(\d{1,2})[-/](\d{1,2})[-/]").astype("float64")
    first = parts.head(1).to_numpy().tolist()
    if first in ([[1.0, 12.0]], [[12.0, 1.0]]):  # the first of December
        return first == [[1.0, 12.0]]
    return bool((parts[0] > 12).any())


class _Shelf:
    """Counts of the titles and prices of each code."""

    def __init__(self) -> None:
        self._titles: dict[str, Counter[str]] = {}
        self._prices: dict[str, Counter[float]] = {}

    def add(self, good: pd.DataFrame, descriptions: "pd.Series[str]") -> None:
        """Count the lines of a block."""
        cells = zip(good["item_id"], map(plain_text, descriptions[good.index]), good["value"], strict=True)
        for (code, title, price), count in Counter(cells).items():
            titles = self._titles.setdefault(code, Counter())
            prices = self._prices.setdefault(code, Counter())
            if title and (title in titles or len(titles) < MAX_DESCRIPTIONS):
                titles[title] += count
            if price in prices or len(prices) < MAX_DESCRIPTIONS:
                prices[price] += count
        if len(self._titles) > MAX_CODES:
            raise UnreadableFile(f"more than {MAX_CODES:,} stock codes")

    def items(self, moment: datetime) -> list[CatalogItem]:
        """Return an item for each code, with the most frequent title and price. For equal counts the smallest wins."""
        return [
            Entry(
                title=min(titles, key=lambda title: (-titles[title], title), default=""),
                price=min(self._prices[code], key=lambda price: (-self._prices[code][price], price), default=None),
            ).item(code, moment)
            for code, titles in self._titles.items()
        ]
