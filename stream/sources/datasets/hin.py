"""Heterogeneous information network: reads the text files of HERec (Shi et al. 2018) for Amazon, Yelp and Douban.

Arrives: a folder with `user_item.dat` (user, item, rating, time), and with pairs of ids in `item_brand.dat` and
`item_category.dat`. Leaves: one rating for each row, and items. The ids of brand and categories are used as names.
Next: `stream.sources.source`.

Other pairs (`item_view.dat`, `user_user.dat`) are ignored, because the graph has no table for these edges.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stream.events import CatalogItem
from stream.sources.files.compressed import UnreadableFile, changed_at
from stream.sources.formats.columns import text
from stream.sources.formats.opening import open_columns
from stream.sources.item_entries import Entry, plain_text, refused_id
from stream.sources.options import Layout
from stream.sources.source import Part, Reading
from stream.sources.tabular import events_part

RATINGS = "user_item.dat"
BRANDS = "item_brand.dat"
CATEGORIES = "item_category.dat"

MAX_ITEMS = 10_000_000
"""The number of items in memory. The data of an item is in two files, so all items stay until both are read."""


def parts(folder: Path) -> tuple[list[Part], list[Path]] | None:
    """Return the parts of the folder and its ignored files, or None for a folder of another kind."""
    if not (folder / RATINGS).is_file():
        return None
    files = [folder / name for name in (BRANDS, CATEGORIES) if (folder / name).is_file()]
    found = [events_part(folder / RATINGS, form="ratings of a heterogeneous network")]
    if files:
        found.append(_items_part(folder, files))
    known = {RATINGS, BRANDS, CATEGORIES}
    others = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in known)
    return found, others


def _items_part(folder: Path, files: Sequence[Path]) -> Part:
    moment = changed_at(*files)

    def blocks(reading: Reading) -> Iterator[list[CatalogItem]]:
        items: dict[str, Entry] = {}
        for place, path in enumerate(files):
            with open_columns(path, reading.rejections, Layout(names=("item", "name"))) as file:
                for block in file.blocks(("item", "name")):
                    pairs = zip(text(block.table["item"]), map(plain_text, text(block.table["name"])), strict=True)
                    for row, (item_id, name) in enumerate(pairs):
                        reason = refused_id(item_id) or (None if name else "no name")
                        if reason is not None:
                            line = int(block.places[row])
                            reading.rejections.add(path, file.unit, line, reason, block.shown(row))
                            continue
                        entry = items.setdefault(item_id, Entry())
                        if path.name == BRANDS:
                            entry.brand = entry.brand or name
                        else:
                            entry.categories[name] = None
                    if len(items) > MAX_ITEMS:
                        raise UnreadableFile(f"more than {MAX_ITEMS:,} items")
                    reading.share = (place + file.share) / len(files)
                    yield []  # lets the caller stop here
        yield [entry.item(item_id, moment) for item_id, entry in items.items()]

    return Part(files[0], "brands and categories of a heterogeneous network", blocks)
