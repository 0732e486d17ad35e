"""Sources by name: the published data sets, and any table.

Arrives: a name and paths. Leaves: a `Source`, each file in the form that its content shows. Next: the importer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stream.sources.catalogue import item_column, items_part
from stream.sources.datasets import amazon, complete_journey, movielens, online_retail, retailrocket
from stream.sources.files.compressed import UnreadableFile, named
from stream.sources.formats.columns import Layout
from stream.sources.formats.opening import header_of
from stream.sources.source import Part, Source, UnknownForm, recognised
from stream.sources.tabular import events_part, guess_columns

TABLE = "table"
COMPLETE_JOURNEY = "complete-journey"

PUBLISHED: Mapping[str, Callable[[Sequence[Path]], Source]] = {
    "amazon": amazon.open_files,
    "movielens": movielens.open_files,
    "retailrocket": retailrocket.open_files,
    "online-retail": online_retail.open_files,
    COMPLETE_JOURNEY: complete_journey.open_files,
}
"""The sources that know which columns they have."""

NAMES = (*PUBLISHED, TABLE)


def open_source(
    name: str,
    paths: Sequence[Path],
    *,
    items: Sequence[Path] = (),
    columns: Mapping[str, str | None] | None = None,
    layout: Layout | None = None,
    day_first: bool = False,
) -> Source:
    """The source of that name (one of `NAMES`); `items` are files of items, whatever the source.

    `columns` (by meaning), `layout` and `day_first` are for a table alone, and for its items as far as they fit: the
    encoding, and the column of the item where there is one of that name. Of a table's paths the first holds
    interactions, and a later one that has an item and no user holds items. Raises `UnreadableFile`.
    """
    if name in PUBLISHED:
        source = PUBLISHED[name](paths)
    else:
        source = recognised(paths, _recognise_table(paths, columns, layout, day_first=day_first))
    # The names of columns are those of the interactions: a file of items has a header of its own.
    own = None if layout is None else replace(layout, names=None)
    catalogues = [_items(name, path, columns, own) for path in items]
    return replace(source, parts=[*catalogues, *source.parts])


def _items(name: str, path: Path, columns: Mapping[str, str | None] | None, layout: Layout | None) -> Part:
    """A file of items: in the source's own form where it has one for it."""
    if name in PUBLISHED and name != COMPLETE_JOURNEY:
        try:
            return PUBLISHED[name]([path]).parts[0]
        except UnknownForm:
            return items_part(path)
    return items_part(path, item=_item(header_of(path, layout), columns), layout=layout)


def _item(header: Sequence[str], columns: Mapping[str, str | None] | None) -> str | None:
    """The column of the item: that which was named, where the file has it, or else the one that is known."""
    given = (columns or {}).get("item")
    return given if given in header else item_column(header)


def _recognise_table(
    paths: Sequence[Path], columns: Mapping[str, str | None] | None, layout: Layout | None, *, day_first: bool
) -> Callable[[Path], Part]:
    def recognise(path: Path) -> Part:
        header = header_of(path, layout)
        try:
            with named(path):
                guess_columns(header, columns)
        except UnreadableFile:
            # The first file without a user is a mistake, and no file of items.
            item = _item(header, columns)
            if path == paths[0] or item is None:
                raise
            return items_part(path, item=item, layout=layout)
        return events_part(path, given=columns, layout=layout, day_first=day_first)

    return recognise
