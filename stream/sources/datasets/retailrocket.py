"""RetailRocket (2015): reads views, carts and purchases of four and a half months, and the item properties.

Arrives: `events.csv` (`timestamp,visitorid,event,itemid,transactionid`, or with other column names). Optional:
`item_properties_part1.csv`, `…part2.csv` (`timestamp,itemid,property,value`) and `category_tree.csv`
(`categoryid,parentid`). Leaves: events,
the purchases with their order, and items with their category path. Next: `stream.sources.source`.

All properties are hashed, except two. `categoryid` gives the numbers of the categories, the widest first. `available`
states whether the item can be bought. The newest value of each property counts. Rejected: property 790 as the price,
because only other users of the data claim this, and the publisher does not.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pandas as pd

from stream.events import CatalogItem
from stream.sources.files.compressed import UnreadableFile, changed_at, listed
from stream.sources.formats.columns import text
from stream.sources.formats.opening import header_of, open_columns
from stream.sources.headers import guess_columns, plain_name
from stream.sources.item_entries import MAX_CATEGORIES, Entry, plain_text, refused_id
from stream.sources.source import Found, Part, Reading, Source, UnknownForm, recognised
from stream.sources.tabular import events_part
from stream.sources.times import times

PROPERTY_COLUMNS = ("timestamp", "itemid", "property", "value")
TREE_COLUMNS = ("categoryid", "parentid")
CATEGORY, AVAILABLE = "categoryid", "available"

MAX_ITEMS = 10_000_000
MAX_CATEGORY_IDS = 1_000_000


def open_files(paths: Sequence[Path]) -> Source:
    """Return the source for these files and folders. Raises `UnreadableFile`."""
    properties: list[Path] = []
    trees: list[Path] = []

    def recognise(path: Path) -> Part:
        header = header_of(path)
        plain = {plain_name(name) for name in header}
        if set(PROPERTY_COLUMNS) <= plain:
            properties.append(path)
            return Part(path, "RetailRocket item_properties", lambda _: iter(()))
        if set(TREE_COLUMNS) <= plain:
            trees.append(path)
            return Part(path, "RetailRocket category_tree", lambda _: iter(()))
        try:
            mapping = guess_columns(header)
        except UnreadableFile:
            mapping = None
        if mapping is None or mapping.type is None:
            raise UnknownForm(f"{path}: no RetailRocket file: it has {listed(header)}")
        return events_part(path, form="RetailRocket events")

    found = recognised(paths, recognise)
    if not properties:
        return found
    # The property files and the tree give the items together, so the part of the first property file reads them all.
    parts = [
        Part(part.path, part.form, lambda reading: _items(properties, trees, reading))
        if part.path == properties[0]
        else part
        for part in found.parts
    ]
    return replace(found, parts=parts)


def _by_plain_name(block: pd.DataFrame) -> pd.DataFrame:
    """Rename the columns to their plain names, independent of case and type suffix."""
    return block.rename(columns=plain_name)


def _columns(header: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the file's own names for these columns."""
    plain = {plain_name(name): name for name in reversed(header)}
    return [plain[name] for name in wanted]


def _items(properties: Sequence[Path], trees: Sequence[Path], reading: Reading) -> Iterator[Found]:
    moment = changed_at(*properties, *trees)
    parents: dict[str, str] = {}
    for path in trees:
        with open_columns(path, reading.rejections) as file:
            for block in file.blocks(_columns(file.header, TREE_COLUMNS)):
                table = _by_plain_name(block.table)
                parents.update(zip(text(table["categoryid"]), text(table["parentid"]), strict=True))
                if len(parents) > MAX_CATEGORY_IDS:
                    raise UnreadableFile(f"more than {MAX_CATEGORY_IDS:,} categories")
    newest: dict[tuple[str, str], tuple[float, str]] = {}
    for place, path in enumerate(properties):
        with open_columns(path, reading.rejections) as file:
            for block in file.blocks(_columns(file.header, PROPERTY_COLUMNS)):
                table = _by_plain_name(block.table)
                table = table[table["property"].isin((CATEGORY, AVAILABLE))]
                moments = times(table["timestamp"])
                cells = zip(
                    table.index, text(table["itemid"]), table["property"], text(table["value"]), moments, strict=True
                )
                for row, item, what, value, time in cells:
                    reason = refused_id(item) or ("no time" if math.isnan(time) else None)
                    if reason is not None:
                        line = int(block.places[row])
                        reading.rejections.add(path, file.unit, line, reason, block.shown(row))
                    elif newest.get((item, what), (time, value)) <= (time, value):
                        newest[item, what] = time, value
                if len(newest) > 2 * MAX_ITEMS:
                    raise UnreadableFile(f"more than {MAX_ITEMS:,} items")
                reading.share = (place + file.share) / len(properties)
                yield []  # lets the caller stop here
    yield [_item(item, newest, parents, moment) for item in dict.fromkeys(item for item, _ in newest)]


def _item(
    item: str, newest: Mapping[tuple[str, str], tuple[float, str]], parents: Mapping[str, str], moment: datetime
) -> CatalogItem:
    path: list[str] = []
    category = newest.get((item, CATEGORY), (0.0, ""))[1]
    while category and category not in path and len(path) < MAX_CATEGORIES:  # stops at a cycle in the tree
        path.append(plain_text(category))
        category = parents.get(category, "")
    available = newest.get((item, AVAILABLE), (0.0, "1"))[1] != "0"
    return Entry(categories=dict.fromkeys(reversed(path)), available=available).item(item, moment)
