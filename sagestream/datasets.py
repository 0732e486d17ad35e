"""Data sets by name: the published ones, or a file. Imported by the command line, so the readers load when asked."""

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
"""Those of `stream.sources.opening`, told before it is loaded."""


class UnknownDataset(UserError):
    """Neither a known name nor a file."""


class UnfitWords(UserError):
    """A source and options that do not fit together."""


@dataclass(frozen=True)
class Chosen:
    """A source that the command line named; nothing is opened yet."""

    name: str
    paths: Sequence[Path]
    items: Sequence[Path] = ()
    options: SourceOptions = field(default_factory=SourceOptions)

    def open(self) -> "Source":
        """Its files, recognised. Raises `stream.sources.files.compressed.UnreadableFile`."""
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
    """A name of `SOURCES` with its files, or a file, which is a table; `columns` are names parted by commas.

    Raises `UnknownDataset`, and `UnfitWords`.
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
    """Whether lines can be told apart in it before it is decoded."""
    sample = "a,\t\n"
    try:
        return codecs.lookup(encoding).name != "utf-8-sig" and sample.encode(encoding) == sample.encode()
    except (LookupError, UnicodeError):
        return False


def read_dataset(name: str, *, sample: int | None, min_item_users: int, seed: int) -> "EventTable":
    """`complete-journey`, or the path of a file that is a table; `sample` shoppers of it, None for all.

    Raises `UnknownDataset`, `stream.sources.files.compressed.UnreadableFile`, and `ModuleNotFoundError` where the
    package with the data is not installed.
    """
    if name == COMPLETE_JOURNEY:
        from stream.sources.datasets import complete_journey

        return complete_journey.read(users=sample, min_item_users=min_item_users, seed=seed)
    path = Path(name)
    if not path.is_file():
        raise UnknownDataset(f"{name} is neither {COMPLETE_JOURNEY} nor a file")
    from stream.sources import tabular

    return tabular.read(path, users=sample, min_item_users=min_item_users, seed=seed)
