"""Catalogue files: any file of items, with one or several rows for each item.

Arrives: CSV, TSV, JSON or Parquet with an item column, and title, categories, brand and price when a known header name
exists. Leaves: `CatalogItem`s that fit into one event. Next: `stream.sources.source`.
"""

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from stream.events import EARLIEST, MAX_EVENT_BYTES, MAX_ID_LENGTH, MAX_TEXT_LENGTH, CatalogItem, encode
from stream.sources.cell_columns import ids
from stream.sources.files.compressed import UnreadableFile, changed_at, listed
from stream.sources.formats.columns import Block, is_nested, text
from stream.sources.formats.opening import open_columns
from stream.sources.headers import KNOWN_HEADERS, plain_name
from stream.sources.options import Layout
from stream.sources.prices import price_of
from stream.sources.rejections import Rejections
from stream.sources.source import Part, Reading
from stream.sources.tabular import NO_TEXT

ITEM_HEADERS: Mapping[str, tuple[str, ...]] = {
    "title": (
        *("title", "name", "item_name", "product_name", "movie_title", "prod_name", "book-title", "book_title"),
        *("product_title", "description"),
    ),
    "brand": ("brand", "store", "manufacturer", "brand_name", "vendor", "book-author", "author"),
    "price": ("price", "unit_price", "list_price", "sale_price", "regular price", "variant price"),
    "available": ("available", "availability", "in_stock", "in stock?", "stock", "is_hidden", "discontinued"),
}
"""Header names (lower case) by meaning. The first one in a file is used."""

CATEGORY_HEADERS = (
    "department",
    "main_category",
    "product_category",
    "category",
    "categories",
    "genres",
    "genre",
    "class",
    "attributes",
    "index_name",
    "product_group_name",
    "department_name",
    "product_type_name",
    "category_l1",
    "category_l2",
    "category_l3",
    "google_product_category",
    "product_type",
    "tags",
)
"""Category headers from wide to narrow. All of them in a file are used."""

CATEGORY_SEPARATORS = ("|", ";", ">", ",")
"""The first separator in a cell splits it, so a name may contain a comma when `|` splits the cell."""

ITEMS = "items"
MAX_CATEGORIES = 32
MAX_CATEGORY_DEPTH = 8
"""Deeper nested lists are left out."""

Reshape = Callable[[pd.DataFrame], pd.DataFrame]
"""Renames the columns of a published file to known names."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass
class Entry:
    """The merged rows of one item: the first title, brand and price, and all categories."""

    title: str = ""
    brand: str = ""
    price: float | None = None
    categories: dict[str, None] = field(default_factory=dict)
    available: bool = True

    def add(self, other: "Entry") -> None:
        """Merge one more row."""
        self.title = self.title or other.title
        self.brand = self.brand or other.brand
        self.price = other.price if self.price is None else self.price
        self.available = self.available and other.available
        self.categories.update(other.categories)

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
                event_time=time,
            )
            if len(encode(item)) <= MAX_EVENT_BYTES:
                return item
            names = names[:-1]


def items_part(
    path: Path,
    *,
    form: str = ITEMS,
    item: str | None = None,
    layout: Layout | None = None,
    reshape: Reshape | None = None,
) -> Part:
    """Return the part of a file of items. Consecutive rows of one item are merged; of other rows the store keeps one.

    The event time of the items is the time of the file, so the newer one of two files wins.
    """
    written = changed_at(path)

    def blocks(reading: Reading) -> Iterator[list[CatalogItem]]:
        pending: tuple[str, Entry] | None = None
        for entries in _entries(path, reading, item=item, layout=layout, reshape=reshape):
            done: list[CatalogItem] = []
            for item_id, entry in entries:
                if pending is not None and pending[0] == item_id:
                    pending[1].add(entry)
                    continue
                if pending is not None:
                    done.append(pending[1].item(pending[0], written))
                pending = item_id, entry
            yield done
        if pending is not None:
            yield [pending[1].item(pending[0], written)]

    return Part(path, form, blocks)


def read_items(path: Path, *, item: str | None = None) -> tuple[list[CatalogItem], dict[str, int]]:
    """Return the items of a file in order of their first rows, and rejected rows by reason. `item` names the column.

    Raises `UnreadableFile`.
    """
    reading = Reading()
    items: dict[str, Entry] = {}
    for entries in _entries(path, reading, item=item):
        for item_id, entry in entries:
            if item_id in items:
                items[item_id].add(entry)
            else:
                items[item_id] = entry
    return [entry.item(item_id) for item_id, entry in items.items()], dict(reading.rejections.counts)


def item_column(header: Iterable[str]) -> str | None:
    """Return the item column of a header, or None when no name is known."""
    plain = {plain_name(name): name for name in header}
    return next((plain[name] for name in KNOWN_HEADERS["item"] if name in plain), None)


def _entries(
    path: Path,
    reading: Reading,
    *,
    item: str | None = None,
    layout: Layout | None = None,
    reshape: Reshape | None = None,
) -> Iterator[list[tuple[str, Entry]]]:
    """Yield the rows of each block as (item id, entry)."""
    with open_columns(path, reading.rejections, layout) as file:
        if item is not None and item not in file.header:
            raise UnreadableFile(f"no column {item!r}: the file has {listed(file.header)}")
        wanted = file.header if reshape else _wanted(file.header, item)
        for block in file.blocks(wanted):
            table = block.table if reshape is None else reshape(block.table)
            reading.share = file.share
            yield _block_entries(table, block, item, reading.rejections, path, file.unit)


def _wanted(header: list[str], item: str | None) -> list[str]:
    found = item or item_column(header)
    if found is None:
        raise UnreadableFile(f"no column for item: the file has {listed(header)}")
    known = {*CATEGORY_HEADERS, *(name for names in ITEM_HEADERS.values() for name in names)}
    return list(dict.fromkeys([found, *(name for name in header if plain_name(name) in known)]))


def _block_entries(
    table: pd.DataFrame, block: Block, item: str | None, rejections: Rejections, path: Path, unit: str
) -> list[tuple[str, Entry]]:
    plain = {plain_name(str(name)): str(name) for name in table.columns}
    column = table[item or item_column(map(str, table.columns))]
    item_ids, nested = ids(column).tolist(), is_nested(column).tolist()
    found = {what: next((plain[name] for name in names if name in plain), None) for what, names in ITEM_HEADERS.items()}
    titles, brands, prices = (_cells(table, found[what]) for what in ("title", "brand", "price"))
    there = _available(table, found["available"])
    shelves = [(plain[name], list(table[plain[name]])) for name in CATEGORY_HEADERS if name in plain]
    entries: list[tuple[str, Entry]] = []
    for row, item_id in enumerate(item_ids):
        reason = NO_TEXT if nested[row] else refused_id(item_id)
        if reason is not None:
            rejections.add(path, unit, int(block.places[row]), reason, block.shown(row))
            continue
        entry = Entry(plain_text(titles[row]), plain_text(brands[row]), price_of(prices[row]), available=there[row])
        for header, cells in shelves:
            names = category_names(cells[row], words=header.endswith(":token_seq"))
            entry.categories.update(dict.fromkeys(map(plain_text, names)))
        entries.append((item_id, entry))
    return entries


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


NOT_THERE = frozenset(
    (
        *("0", "0.0", "false", "no", "n", "out of stock", "out_of_stock", "outofstock", "sold out", "sold_out"),
        "discontinued",
    )
)
"""States of an item that cannot be bought, in small letters."""

REVERSED = ("is_hidden", "discontinued")
"""Columns in which yes means that the item cannot be bought."""


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
