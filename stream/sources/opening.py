"""Opens sources by name: the published data sets, and any table.

Arrives: a name and paths. Leaves: a `Source`, each file in the form that its content shows. Next: the importer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stream.sources.catalogue import items_part
from stream.sources.datasets import amazon, complete_journey, movielens, online_retail, retailrocket
from stream.sources.files.compressed import EmptyFile, UnreadableFile, named
from stream.sources.formats.opening import header_of
from stream.sources.headers import guess_columns
from stream.sources.item_headers import item_column
from stream.sources.messages import messages_part, shape_of_file
from stream.sources.options import SourceOptions
from stream.sources.source import Part, Source, UnknownForm, recognised
from stream.sources.tabular import events_part

TABLE = "table"
COMPLETE_JOURNEY = "complete-journey"

PUBLISHED: Mapping[str, Callable[[Sequence[Path]], Source]] = {
    "amazon": amazon.open_files,
    "movielens": movielens.open_files,
    "retailrocket": retailrocket.open_files,
    "online-retail": online_retail.open_files,
    COMPLETE_JOURNEY: complete_journey.open_files,
}
"""The data sets whose columns are known."""

NAMES = (*PUBLISHED, TABLE)


def open_source(
    name: str,
    paths: Sequence[Path],
    *,
    items: Sequence[Path] = (),
    options: SourceOptions | None = None,
) -> Source:
    """Open the source of that name (one of `NAMES`). `items` are files of items, for every source.

    The `options` apply to a table, and partly to its items: the encoding, and the item column when it exists. The first
    path of a table contains interactions. A later path with an item column and without a user column contains items.
    Raises `UnreadableFile`.
    """
    options = options or SourceOptions()
    source = PUBLISHED[name](paths) if name in PUBLISHED else recognised(paths, _recognise_table(paths, options))
    for part in source.parts:
        _look(part, paths)
    catalogues = [_items(name, path, options.of_items()) for path in items]
    return replace(source, parts=[*catalogues, *source.parts])


def _look(part: Part, paths: Sequence[Path]) -> None:
    """Look at a part before anything is stored. An empty file in a folder is no reason to stop."""
    try:
        part.look()
    except EmptyFile:
        if part.path in paths:
            raise


def _items(name: str, path: Path, options: SourceOptions) -> Part:
    """Return the part of a file of items, in the data set's own form when it has one."""
    if name in PUBLISHED and name != COMPLETE_JOURNEY:
        try:
            return PUBLISHED[name]([path]).parts[0]
        except UnknownForm:
            return items_part(path)
    return items_part(path, item=_item(header_of(path, options.layout), options), layout=options.layout)


def _item(header: Sequence[str], options: SourceOptions) -> str | None:
    """Return the item column: the given one when the file has it, else a known header name."""
    given = options.columns.get("item")
    return given if given in header else item_column(header)


def _recognise_table(paths: Sequence[Path], options: SourceOptions) -> Callable[[Path], Part]:
    def recognise(path: Path) -> Part:
        shape = shape_of_file(path)
        if shape is not None and not any(options.columns.values()):
            return messages_part(path, shape)
        header = header_of(path, options.layout)
        try:
            with named(path):
                guess_columns(header, options.columns)
        except UnreadableFile:
            # A first file without a user column is a mistake and not a file of items.
            item = _item(header, options)
            if path == paths[0] or item is None:
                raise
            return items_part(path, item=item, layout=options.layout)
        return events_part(path, options=options, header=list(header))

    return recognise
