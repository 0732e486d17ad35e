"""Opens sources by name: the published data sets, and any table.

Arrives: a name and paths. Leaves: a `Source`, each file in the form that its content shows. Next: the importer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stream.events import CatalogItem
from stream.sources.catalogue import items_part, read_items
from stream.sources.datasets import amazon, complete_journey, movielens, online_retail, retailrocket
from stream.sources.files.compressed import EmptyFile, UnreadableFile, listed, named
from stream.sources.formats.opening import header_of
from stream.sources.headers import guess_columns
from stream.sources.item_headers import NAMED, ItemColumns, item_column, item_columns, refuse_bare
from stream.sources.messages import messages_part, shape_of_file
from stream.sources.named_tables import FAMILIES, NamedTables, is_said
from stream.sources.nested import given_columns, open_table
from stream.sources.options import SourceOptions
from stream.sources.rejections import Rejections
from stream.sources.source import Part, Reading, Source, UnknownForm, recognised
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

NAMES = (*PUBLISHED, *FAMILIES, TABLE)


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
    if name in PUBLISHED:
        source = PUBLISHED[name](paths)
    else:
        trade = NamedTables(options, None if name == TABLE else name)
        recognise = _recognise_table(paths, options, trade) if name == TABLE else _recognise_named(name, trade)
        source = trade.finished(recognised(paths, recognise))
    parts = [_looked_at(part, paths) for part in source.parts]
    catalogues = [part for path in items for part in _items(name, path, options.of_items())]
    return replace(source, parts=[*catalogues, *parts])


def _looked_at(part: Part, paths: Sequence[Path]) -> Part:
    """Return the part with what a look at its beginning adds. An empty file in a folder is no reason to stop."""
    try:
        written = part.look()
    except EmptyFile:
        if part.path in paths:
            raise
        return part
    return replace(part, understood=f"{part.understood} · times are {written}") if written else part


def _items(name: str, path: Path, options: SourceOptions) -> Sequence[Part]:
    """Return the parts of a file of items, in the data set's own form when it has one."""
    if name in PUBLISHED and name != COMPLETE_JOURNEY:
        try:
            return PUBLISHED[name]([path]).parts[:1]
        except UnknownForm:
            return [_any_items(path, header_of(path), options)]
    header = header_of(path, options.layout)
    trade = NamedTables(options)
    known = None if _says_items(options) else trade.part(path, header)
    if known is not None:
        return trade.finished(Source([known])).parts
    return [_any_items(path, header, options)]


def read_catalogue(path: Path, reading: Reading | None = None) -> tuple[list[CatalogItem], dict[str, int]]:
    """Return the items of a file in the form that its columns show, and rejected rows by reason.

    `reading` gets what was understood. Raises `UnreadableFile`, also where nothing but the id of items is known.
    """
    reading = reading or Reading()
    trade, header = NamedTables(SourceOptions()), header_of(path)
    known = trade.part(path, header)
    if known is None:
        with named(path):
            refuse_bare(item_columns(header), header)
        return read_items(path, reading=reading)
    return trade.finished(Source([known])).read(reading).items, dict(reading.rejections.counts)


def _any_items(path: Path, header: Sequence[str], options: SourceOptions) -> Part:
    """Return the part of a file of items in no published form. Raises `UnreadableFile`."""
    with named(path):
        columns = item_columns(header, _item(header, options), options.columns)
        refuse_bare(columns, header)
    return items_part(path, columns=columns, layout=options.layout)


def _says_items(options: SourceOptions) -> bool:
    return any(options.columns.get(meaning) for meaning in NAMED)


def _item(header: Sequence[str], options: SourceOptions) -> str | None:
    """Return the item column: the given one when the file has it, else a known header name."""
    given = options.columns.get("item")
    return given if given in header else item_column(header)


def _recognise_named(name: str, trade: NamedTables) -> Callable[[Path], Part]:
    def recognise(path: Path) -> Part:
        header = header_of(path, trade.options.layout)
        part = trade.part(path, header)
        if part is None:
            raise UnknownForm(f"{path}: no file of {name}: it has {listed(header)}")
        return part

    return recognise


def _recognise_table(paths: Sequence[Path], options: SourceOptions, trade: NamedTables) -> Callable[[Path], Part]:
    def recognise(path: Path) -> Part:
        shape = shape_of_file(path)
        if shape is not None and not any(options.columns.values()):
            return messages_part(path, shape)
        with open_table(path, Rejections(), options) as file:
            header = list(file.header)
        known = None if is_said(options) or _says_items(options) else trade.part(path, header)
        if known is not None:
            return known
        try:
            with named(path):
                guess_columns(header, given_columns(header, options))
        except UnreadableFile:
            # A first file without a user column is a mistake and not a file of items.
            if path == paths[0] or _item(header, options) is None:
                raise
            return _any_items(path, header, options)
        return events_part(path, options=options, header=header, beside=_beside(header, options))

    return recognise


def _beside(header: Sequence[str], options: SourceOptions) -> ItemColumns | None:
    """Return the columns of items in a file of interactions, when its owner names one of them."""
    said = {meaning: name for meaning, name in options.columns.items() if meaning in NAMED and name in header}
    return item_columns(header, _item(header, options), said) if said else None
