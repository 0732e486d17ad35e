"""Catalogue files: any file of items, with one or several rows for each item.

Arrives: CSV, TSV, JSON or Parquet with an item column, and title, categories, brand and price when a known header name
exists. Leaves: `CatalogItem`s that fit into one event. Next: `stream.sources.source`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from stream.events import CatalogItem
from stream.sources.cell_columns import ids
from stream.sources.files.compressed import changed_at
from stream.sources.formats.columns import Block, is_nested
from stream.sources.formats.opening import open_columns
from stream.sources.item_entries import Entry, entries, refused_id
from stream.sources.item_headers import ItemColumns, item_columns
from stream.sources.options import Layout
from stream.sources.rejections import Rejections
from stream.sources.shaping import Reshaping
from stream.sources.source import Part, Reading
from stream.sources.understood import Understood

ITEMS = "items"
NO_TEXT = "id is no text"

Columns = Callable[[Sequence[str]], ItemColumns]
"""Finds the columns in a header."""


def items_part(
    path: Path,
    *,
    form: str = ITEMS,
    item: str | None = None,
    given: Mapping[str, str | None] | None = None,
    layout: Layout | None = None,
    reshaping: Reshaping | None = None,
    columns: ItemColumns | None = None,
) -> Part:
    """Return the part of a file of items. Consecutive rows of one item are merged; of other rows the store keeps one.

    The event time of the items is the time of the file, so the newer one of two files wins.

    Args:
        path: the file.
        form: its name.
        item: the column of the item; None: a known name.
        given: the columns that its owner names, by meaning.
        layout: how its text is read.
        reshaping: makes known columns of those of a published form.
        columns: the columns after the reshaping; None: by their names.
    """
    written = changed_at(path)
    found = (lambda _: columns) if columns is not None else (lambda header: item_columns(header, item, given))

    def blocks(reading: Reading) -> Iterator[list[CatalogItem]]:
        pending: tuple[str, Entry] | None = None
        understood = Understood({} if columns is None else columns.by_meaning())
        reading.understood[str(path)] = understood
        for rows in _entries(path, reading, found, layout, reshaping):
            done: list[CatalogItem] = []
            for item_id, entry in rows:
                if pending is not None and pending[0] == item_id:
                    pending[1].add(entry)
                    continue
                if pending is not None:
                    done.append(pending[1].item(pending[0], written))
                pending = item_id, entry
            for item in done:
                understood.add_item(item)
            yield done
        if pending is not None:
            last = pending[1].item(pending[0], written)
            understood.add_item(last)
            yield [last]

    return Part(path, form, blocks, "" if columns is None else columns.in_words())


def read_items(
    path: Path, *, item: str | None = None, reading: Reading | None = None
) -> tuple[list[CatalogItem], dict[str, int]]:
    """Return the items of a file in order of their first rows, and rejected rows by reason. `item` names the column.

    `reading` gets what was understood. Raises `UnreadableFile`.
    """
    reading = reading or Reading()
    understood = reading.understood[str(path)] = Understood({})
    items: dict[str, Entry] = {}

    def columns(header: Sequence[str]) -> ItemColumns:
        found = item_columns(header, item)
        understood.columns = found.by_meaning()
        return found

    for rows in _entries(path, reading, columns):
        for item_id, entry in rows:
            if item_id in items:
                items[item_id].add(entry)
            else:
                items[item_id] = entry
    found = [entry.item(item_id) for item_id, entry in items.items()]
    for known in found:
        understood.add_item(known)
    return found, dict(reading.rejections.counts)


def _entries(
    path: Path, reading: Reading, columns: Columns, layout: Layout | None = None, reshaping: Reshaping | None = None
) -> Iterator[list[tuple[str, Entry]]]:
    """Yield the rows of each block as (item id, entry)."""
    with open_columns(path, reading.rejections, layout) as file:
        reshape = None if reshaping is None else reshaping()
        for block in file.blocks(columns(file.header).columns if reshape is None else file.header):
            shown = block if reshape is None else reshape(block)
            reading.share = file.share
            yield _block_entries(shown, columns(list(shown.table.columns)), reading.rejections, path, file.unit)


def _block_entries(
    block: Block, columns: ItemColumns, rejections: Rejections, path: Path, unit: str
) -> list[tuple[str, Entry]]:
    item = block.table[columns.item]
    nested = is_nested(item).tolist()
    found: list[tuple[str, Entry]] = []
    for row, (item_id, entry) in enumerate(zip(ids(item).tolist(), entries(block.table, columns), strict=True)):
        reason = NO_TEXT if nested[row] else refused_id(item_id)
        if reason is None:
            found.append((item_id, entry))
        else:
            rejections.add(path, unit, int(block.places[row]), reason, block.shown(row))
    return found
