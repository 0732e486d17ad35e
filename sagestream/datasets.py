"""Data sets: choose a published data set by name, or a file.

The command line imports this module, so the readers are loaded only when they are needed.
"""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from graphstore.errors import UserError
from stream.sources.options import Layout, SourceOptions

if TYPE_CHECKING:
    from stream.sources.source import Source
    from stream.sources.table import EventTable

COMPLETE_JOURNEY = "complete-journey"
TABLE = "table"
SOURCES = ("amazon", "movielens", "retailrocket", "online-retail", COMPLETE_JOURNEY, TABLE)
"""The names in `stream.sources.opening`, repeated here so that it need not be loaded."""


class UnknownDataset(UserError):
    """The name is not a known data set and not a file."""


class UnfitWords(UserError):
    """The source does not support the options."""


@dataclass(frozen=True)
class Chosen:
    """A source from the command line. Its files are not open yet."""

    name: str
    paths: Sequence[Path]
    items: Sequence[Path] = ()
    options: SourceOptions = field(default_factory=SourceOptions)

    def open(self) -> "Source":
        """Open the source and recognise its files. Raises `stream.sources.files.compressed.UnreadableFile`."""
        from stream.sources.opening import open_source

        return open_source(self.name, self.paths, items=self.items, options=self.options)


def choose(
    source: str,
    paths: Sequence[Path],
    *,
    items: Sequence[Path] = (),
    mapping: Mapping[str, str | None],
    columns: str | None = None,
    encoding: str | None = None,
    day_first: bool = False,
) -> Chosen:
    """Check the source, its files and its options, and return them. Nothing is opened.

    Args:
        source: a name of `SOURCES`, or the path of a file, which is read as a table.
        paths: the files of the source.
        items: files with the items of the source.
        mapping: for a table, the column of each meaning; None: the reader finds it.
        columns: for a table without a header, the column names, separated by commas.
        encoding: for a table, the text encoding.
        day_first: for a table, whether dates with - or / begin with the day.

    Raises:
        UnknownDataset: the source or a file does not exist.
        UnfitWords: the options do not fit the source.
    """
    guessed = source not in SOURCES
    if guessed:
        source, paths = TABLE, [Path(source), *paths]
    if source != TABLE and (columns is not None or encoding is not None or day_first or any(mapping.values())):
        raise UnfitWords(f"{source} knows its columns: name columns, encodings and the order of dates for a table")
    if source == COMPLETE_JOURNEY and paths:
        raise UnfitWords(f"{source} comes as a package, and takes no file")
    if source != COMPLETE_JOURNEY and not paths:
        raise UnfitWords(f"{source} needs a file")
    if missing := [str(path) for path in paths if not path.exists()]:
        if guessed and missing[0] == str(paths[0]):
            raise UnknownDataset(f"{missing[0]} is neither {', '.join(SOURCES)} nor a file")
        raise UnknownDataset(f"there is no file {missing[0]}")
    if encoding is not None and not _has_ascii(encoding):
        raise UnfitWords(f"{encoding!r} is no encoding with ASCII in it, as utf-8, latin-1 or cp1252")
    layout = Layout(names=None if columns is None else [name.strip() for name in columns.split(",")])
    if encoding is not None:
        layout = replace(layout, encoding=encoding)
    return Chosen(source, paths, items, SourceOptions(mapping, layout, day_first))


def _has_ascii(encoding: str) -> bool:
    """Return whether lines and columns can be found in the bytes before they are decoded."""
    sample = "a,\t\n"
    try:
        return codecs.lookup(encoding).name != "utf-8-sig" and sample.encode(encoding) == sample.encode()
    except (LookupError, UnicodeError):
        return False


def read_dataset(name: str, *, sample: int | None, min_item_users: int, seed: int) -> "EventTable":
    """Read `complete-journey`, or a file as a table. `sample` is the number of users to draw, None for all.

    Raises `UnknownDataset`, `stream.sources.files.compressed.UnreadableFile`, and `ModuleNotFoundError` if the package
    with the data is not installed.
    """
    if name == COMPLETE_JOURNEY:
        from stream.sources.datasets import complete_journey

        return complete_journey.read(users=sample, min_item_users=min_item_users, seed=seed)
    path = Path(name)
    if not path.is_file():
        raise UnknownDataset(f"{name} is neither {COMPLETE_JOURNEY} nor a file")
    from stream.sources import tabular

    return tabular.read(path, users=sample, min_item_users=min_item_users, seed=seed)
