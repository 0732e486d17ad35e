"""Item entries: the rows of a file of items, read as titles, categories, brands, prices and what else is known.

Arrives: a block of a file and its `ItemColumns`. Leaves: an `Entry` for each row; rows of one item are merged. Next:
`stream.sources.catalogue` makes items of them.
"""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import pandas as pd

from stream.events import EARLIEST, MAX_EVENT_BYTES, MAX_ID_LENGTH, MAX_TEXT_LENGTH, CatalogItem, encode
from stream.sources.cell_columns import ids
from stream.sources.formats.columns import text
from stream.sources.headers import plain_name
from stream.sources.item_headers import ItemColumns
from stream.sources.prices import amount_of, price_of

CATEGORY_SEPARATORS = ("|", ";", ">", ",")
"""The first separator in a cell splits it, so a name may contain a comma when `|` splits the cell."""

MAX_CATEGORIES = 32
MAX_CATEGORY_DEPTH = 8
"""Deeper nested lists are left out."""

NOT_THERE = frozenset(
    (
        *("0", "0.0", "false", "no", "n", "out of stock", "out_of_stock", "outofstock", "sold out", "sold_out"),
        "discontinued",
    )
)
"""States of an item that cannot be bought, in small letters."""

REVERSED = ("is_hidden", "discontinued")
"""Columns in which yes means that the item cannot be bought."""

MAX_URL = 2048
MAX_STOCK = 2**31 - 1

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ADDRESS = re.compile(r"(?:https?://|/(?!/))\S*")


@dataclass(slots=True)
class Entry:
    """The merged rows of one item: the first title, brand, price and addresses, and all categories."""

    title: str = ""
    brand: str = ""
    price: float | None = None
    categories: dict[str, None] = field(default_factory=dict)
    available: bool = True
    url: str = ""
    image_url: str = ""
    stock: int | None = None
    product_id: str | None = None

    def add(self, other: "Entry") -> None:
        """Merge one more row."""
        self.title = self.title or other.title
        self.brand = self.brand or other.brand
        self.price = other.price if self.price is None else self.price
        self.available = self.available and other.available
        self.categories.update(other.categories)
        self.url = self.url or other.url
        self.image_url = self.image_url or other.image_url
        self.stock = other.stock if self.stock is None else self.stock
        self.product_id = self.product_id or other.product_id

    def item(self, item_id: str, time: datetime = EARLIEST) -> CatalogItem:
        """Return the item as an event at `time`, with as many categories as fit."""
        time = max(time, EARLIEST)
        names = [name for name in self.categories if name][:MAX_CATEGORIES]
        while True:
            item = CatalogItem(
                item_id=item_id,
                title=self.title,
                categories=names,
                brand=self.brand,
                price=self.price,
                available=self.available,
                url=self.url,
                image_url=self.image_url,
                stock=self.stock,
                product_id=self.product_id,
                event_time=time,
            )
            if len(encode(item)) <= MAX_EVENT_BYTES:
                return item
            names = names[:-1]


def entries(table: pd.DataFrame, columns: ItemColumns) -> list[Entry]:
    """Return an entry for each row."""
    cells = [_cells(table, name) for name in (columns.title, columns.brand, columns.url, columns.image, columns.stock)]
    prices = _prices(table, columns.prices)
    there = _available(table, columns.available)
    products = [""] * len(table) if columns.product is None else ids(table[columns.product]).tolist()
    found = [
        Entry(
            plain_text(title),
            plain_text(brand),
            price,
            {},
            available,
            _address(url),
            _address(image),
            _stock(stock),
            product if 0 < len(product) <= MAX_ID_LENGTH and not _CONTROL.search(product) else None,
        )
        for title, brand, url, image, stock, price, available, product in zip(
            *cells, prices, there, products, strict=True
        )
    ]
    for name in columns.categories:
        words = name.endswith(":token_seq")
        for entry, cell in zip(found, list(table[name]), strict=True):
            entry.categories.update(dict.fromkeys(map(plain_text, category_names(cell, words=words))))
    return found


def refused_id(item_id: str) -> str | None:
    """Return the reason why the text is not a valid item id; None when it is valid."""
    if not item_id:
        return "no item"
    if len(item_id) > MAX_ID_LENGTH:
        return "id too long"
    return "a control character in an id" if _CONTROL.search(item_id) else None


def category_names(cell: Any, *, words: bool = False, depth: int = 0) -> Iterator[str]:
    """Yield the names in a cell: a list, nested lists, their JSON, or text with separators. `words` splits at
    spaces."""
    if depth > MAX_CATEGORY_DEPTH:
        return
    if isinstance(cell, str):
        if cell.startswith("["):
            try:
                yield from category_names(msgspec.json.decode(cell), depth=depth + 1)
                return
            except (msgspec.MsgspecError, RecursionError):
                cell = cell.strip("[]").replace("'", "")
        separator = " " if words else next((mark for mark in CATEGORY_SEPARATORS if mark in cell), None)
        names: Iterable[str] = cell.split(separator) if separator else [cell]
        yield from (name.strip()[:MAX_TEXT_LENGTH] for name in names if name.strip())
    elif isinstance(cell, list):
        for part in cell:
            if isinstance(part, str):
                yield part.strip()[:MAX_TEXT_LENGTH]
            else:
                yield from category_names(part, depth=depth + 1)
    elif cell is not None and cell is not pd.NA and not isinstance(cell, float | dict):
        yield str(cell)


def _prices(table: pd.DataFrame, columns: Sequence[str]) -> list[float | None]:
    """Return the price of each row: of the columns the first that has one."""
    found: list[float | None] = [None] * len(table)
    for name in reversed(columns):
        read = map(price_of, text(table[name]).tolist())
        found = [before if price is None else price for before, price in zip(found, read, strict=True)]
    return found


def _address(cell: str) -> str:
    """Return the first address in a cell, "" when the contract would refuse it."""
    found = _ADDRESS.match(cell)
    return "" if found is None or len(found.group()) > MAX_URL else found.group().rstrip(",;")


def _stock(cell: str) -> int | None:
    """Return a number of pieces; what was oversold is 0."""
    count = amount_of(cell) if cell else None
    return None if count is None else int(min(max(count, 0.0), MAX_STOCK))


def _available(table: pd.DataFrame, column: str | None) -> list[bool]:
    """Return for each row whether its item can be bought. An empty cell says nothing, so it can."""
    if column is None:
        return [True] * len(table)
    cells = text(table[column]).str.casefold()
    if plain_name(column) in REVERSED:
        return (~cells.isin(("1", "1.0", "true", "yes", "y"))).tolist()
    return (~cells.isin(NOT_THERE)).tolist()


def _cells(table: pd.DataFrame, column: str | None) -> list[str]:
    return [""] * len(table) if column is None else text(table[column]).tolist()


def plain_text(written: str) -> str:
    """Return the text without HTML entities (`&amp;`) and control characters, cut to the length of an event."""
    if "&" in written:
        written = html.unescape(written)
    return _CONTROL.sub(" ", written[:MAX_TEXT_LENGTH]).strip()
