"""Any file of items: one row an item, or several that are put together.

Arrives: CSV, TSV, JSON or Parquet with an item, and whatever it has of title, categories, brand and price, guessed from
the names of the columns. Leaves: `CatalogItem`s, at most as long as an event may be. Next: `stream.sources.source`.
"""

import html
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from stream.events import EARLIEST, MAX_EVENT_BYTES, MAX_ID_LENGTH, MAX_TEXT_LENGTH, CatalogItem, encode
from stream.sources.files.compressed import UnreadableFile, changed_at, listed
from stream.sources.formats.columns import Block, is_nested, plain_name, text
from stream.sources.formats.opening import open_columns
from stream.sources.options import Layout
from stream.sources.rejections import Rejections
from stream.sources.source import Part, Reading
from stream.sources.tabular import KNOWN_HEADERS, NO_TEXT

ITEM_HEADERS: Mapping[str, tuple[str, ...]] = {
    "title": ("title", "name", "item_name", "product_name", "movie_title", "description"),
    "brand": ("brand", "store", "manufacturer", "brand_name"),
    "price": ("price", "unit_price", "list_price"),
}
"""Header names (lower case) by meaning; the first that a file has is taken."""

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
)
"""All that a file has are taken, from wide to narrow."""

CATEGORY_SEPARATORS = ("|", ";", ">", ",")
"""The first that stands in a cell parts it; so a comma may stand in a name where `|` parts."""

ITEMS = "items"
MAX_CATEGORIES = 32
MAX_CATEGORY_DEPTH = 8
"""Lists within lists; what lies deeper is left out."""

MAX_PRICE = 1e9

Reshape = Callable[[pd.DataFrame], pd.DataFrame]
"""Makes columns with known names of those that a published file has."""

_PRICE = re.compile(
    r"(?:from\s+)?[$€£]?\s*(\d[\d.]*,\d{1,2}(?![\d,.])|\d[\d,]*(?:\.\d+)?)\s*€?(?:\s*-\s*[$€£]?\s*[\d,.]+\s*€?)?",
    re.IGNORECASE,
)
_DECIMAL_COMMA = re.compile(r"\d[\d.]*,\d{1,2}")
"""Where the last mark is a comma with one or two digits behind it, the dots part thousands."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass
class Entry:
    """What rows have said of one item so far: the first title, brand and price count, and the categories of all."""

    title: str = ""
    brand: str = ""
    price: float | None = None
    categories: dict[str, None] = field(default_factory=dict)
    available: bool = True

    def add(self, other: "Entry") -> None:
        """What one more row says."""
        self.title = self.title or other.title
        self.brand = self.brand or other.brand
        self.price = other.price if self.price is None else self.price
        self.categories.update(other.categories)

    def item(self, item_id: str, moment: datetime = EARLIEST) -> CatalogItem:
        """As an event of that moment, with no more categories than one may hold."""
        moment = max(moment, EARLIEST)
        names = [name for name in self.categories if name][:MAX_CATEGORIES]
        while True:
            item = CatalogItem(
                item_id=item_id,
                title=self.title,
                categories=names,
                brand=self.brand,
                price=self.price,
                available=self.available,
                event_time=moment,
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
    """A file of items; rows of one item that follow one another are put together, of others the store takes one.

    The items count from the time when the file was written: of two files the newer one wins.
    """
    moment = changed_at(path)

    def blocks(reading: Reading) -> Iterator[list[CatalogItem]]:
        pending: tuple[str, Entry] | None = None
        for entries in _entries(path, reading, item=item, layout=layout, reshape=reshape):
            done: list[CatalogItem] = []
            for item_id, entry in entries:
                if pending is not None and pending[0] == item_id:
                    pending[1].add(entry)
                    continue
                if pending is not None:
                    done.append(pending[1].item(pending[0], moment))
                pending = item_id, entry
            yield done
        if pending is not None:
            yield [pending[1].item(pending[0], moment)]

    return Part(path, form, blocks)


def read_items(path: Path, *, item: str | None = None) -> tuple[list[CatalogItem], dict[str, int]]:
    """The items of a file in order of their first rows, and the rows left out by reason; `item` names the column.

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
    """The column of the item, where the header has a name for it that is known."""
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
    """A block's items, a row each."""
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
    ids, nested = text(column).tolist(), is_nested(column).tolist()
    found = {what: next((plain[name] for name in names if name in plain), None) for what, names in ITEM_HEADERS.items()}
    titles, brands, prices = (_cells(table, found[what]) for what in ("title", "brand", "price"))
    shelves = [(plain[name], list(table[plain[name]])) for name in CATEGORY_HEADERS if name in plain]
    entries: list[tuple[str, Entry]] = []
    for row, item_id in enumerate(ids):
        reason = NO_TEXT if nested[row] else refused_id(item_id)
        if reason is not None:
            rejections.add(path, unit, int(block.places[row]), reason, block.shown(row))
            continue
        entry = Entry(plain_text(titles[row]), plain_text(brands[row]), price_of(prices[row]))
        for header, cells in shelves:
            names = category_names(cells[row], words=header.endswith(":token_seq"))
            entry.categories.update(dict.fromkeys(map(plain_text, names)))
        entries.append((item_id, entry))
    return entries


def refused_id(item_id: str) -> str | None:
    """Why it cannot be an item's id; None where it can."""
    if not item_id:
        return "no item"
    if len(item_id) > MAX_ID_LENGTH:
        return "id too long"
    return "a control character in an id" if _CONTROL.search(item_id) else None


def category_names(cell: Any, *, words: bool = False, depth: int = 0) -> Iterator[str]:
    """The names in one cell: a list, a list within a list, JSON of these, or text with separators; `words` parts it at
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


def price_of(written: str) -> float | None:
    """The price in a cell, of a range the lowest; None where it is none, as `None` and what is left of a torn page."""
    found = _PRICE.fullmatch(written.strip())
    number = written.strip() if found is None else found[1]
    thousands, decimal = (".", ",") if _DECIMAL_COMMA.fullmatch(number) else (",", ".")
    number = number.replace(thousands, "").replace(decimal, ".")
    try:
        price = float(number)
    except ValueError:
        return None
    return price if math.isfinite(price) and 0 <= price <= MAX_PRICE else None


def _cells(table: pd.DataFrame, column: str | None) -> list[str]:
    return [""] * len(table) if column is None else text(table[column]).tolist()


def plain_text(written: str) -> str:
    """Without the HTML that shops leave in their texts (`&amp;`), and as long as an event may hold."""
    if "&" in written:
        written = html.unescape(written)
    return _CONTROL.sub(" ", written[:MAX_TEXT_LENGTH]).strip()
