"""Any file of items: one row an item, or several that are put together.

Arrives: CSV, TSV, JSON lines or Parquet with an item, and whatever it has of title, categories, brand and price,
guessed from the names of the columns. Leaves: `CatalogItem`s, at most as long as an event may be.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from stream.events import EARLIEST, MAX_ID_LENGTH, MAX_TEXT_LENGTH, CatalogItem
from stream.sources.files import UnreadableFile, listed, plain_name, read_columns, text
from stream.sources.tabular import KNOWN_HEADERS

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

MAX_CATEGORIES = 32
MAX_PRICE = 1e9


def read_items(path: Path, *, item: str | None = None) -> tuple[list[CatalogItem], dict[str, int]]:
    """The items of a file in order of their first rows, and the rows left out by reason; `item` names the column.

    Of several rows of one item the first title, brand and price count, and the categories of all. Raises
    `UnreadableFile`.
    """
    raw, rejected = read_columns(path)
    plain = {plain_name(str(name)): str(name) for name in raw.columns}
    if item is not None and item not in raw.columns:
        raise UnreadableFile(f"{path}: no column {item!r}: the file has {listed(plain.values())}")
    item = item or next((plain[name] for name in KNOWN_HEADERS["item"] if name in plain), None)
    if item is None:
        raise UnreadableFile(f"{path}: no column for item: the file has {listed(plain.values())}")

    ids = text(raw[item])
    reasons = {"no item": ids.str.len() == 0, "id too long": ids.str.len() > MAX_ID_LENGTH}
    for reason, rows in reasons.items():
        if rows.any():
            rejected[reason] = int(rows.sum())
    good = raw[~(reasons["no item"] | reasons["id too long"])]

    found = {what: next((plain[name] for name in names if name in plain), None) for what, names in ITEM_HEADERS.items()}
    titles, brands, prices = (
        ["" if cell is None else cell for cell in _cells(good, found[what])] for what in ("title", "brand", "price")
    )
    shelves = [(plain[name], list(good[plain[name]])) for name in CATEGORY_HEADERS if name in plain]
    items: dict[str, dict[str, Any]] = {}
    for row, item_id in enumerate(text(good[item])):
        known = items.setdefault(item_id, {"title": "", "brand": "", "price": None, "categories": {}})
        known["title"] = known["title"] or titles[row][:MAX_TEXT_LENGTH]
        known["brand"] = known["brand"] or brands[row][:MAX_TEXT_LENGTH]
        known["price"] = _price(prices[row]) if known["price"] is None else known["price"]
        for header, cells in shelves:
            known["categories"].update(dict.fromkeys(category_names(cells[row], words=header.endswith(":token_seq"))))
    return [_item(item_id, known) for item_id, known in items.items()], rejected


def category_names(cell: Any, *, words: bool = False) -> Iterator[str]:
    """The names in one cell: a list, a list within a list, JSON of these, or text with separators; `words` parts it at
    spaces."""
    if isinstance(cell, str):
        if cell.startswith("["):
            try:
                yield from category_names(msgspec.json.decode(cell))
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
                yield from category_names(part)
    elif cell is not None and cell is not pd.NA and not isinstance(cell, float | dict):
        yield str(cell)


def _cells(table: pd.DataFrame, column: str | None) -> list[str]:
    return [""] * len(table) if column is None else text(table[column]).tolist()


def _price(written: str) -> float | None:
    try:
        price = float(written.replace(",", "").lstrip("$€£ "))
    except ValueError:
        return None
    return price if math.isfinite(price) and 0 <= price <= MAX_PRICE else None


def _item(item_id: str, known: Mapping[str, Any]) -> CatalogItem:
    return CatalogItem(
        item_id=item_id,
        title=known["title"],
        categories=[name for name in known["categories"] if name][:MAX_CATEGORIES],
        brand=known["brand"],
        price=known["price"],
        event_time=EARLIEST,
    )
