"""Data sets: choose a published data set by name, or a file.

The command line imports this module, so the readers are loaded only when they are needed.
"""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from graphstore.errors import UserError
from stream.events import EventType
from stream.sources.options import Layout, SourceOptions

if TYPE_CHECKING:
    from stream.sources.source import Reading, Source
    from stream.sources.table import EventTable

COMPLETE_JOURNEY = "complete-journey"
TABLE = "table"
TRADE = (
    *("shopify", "woocommerce", "merchant", "rees46", "yoochoose", "taobao", "personalize", "gorse", "olist"),
    *("instacart", "dunnhumby", "hm", "ta-feng"),
)
"""Tables of the trade: their columns are known, and what else the options say counts."""
SOURCES = ("amazon", "movielens", "retailrocket", "online-retail", COMPLETE_JOURNEY, TABLE, *TRADE)
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


@dataclass(frozen=True)
class TableWords:
    """What the command line says about a table."""

    MEANINGS: ClassVar = (
        *("user", "item", "time", "value", "price", "type", "quantity", "id", "status", "order", "currency"),
        *("title", "category", "brand", "available"),
    )

    mapping: Mapping[str, str | None] = field(default_factory=dict)
    """The column of each meaning; None: the reader finds it."""
    columns: str | None = None
    """Of a table without a header: the column names, separated by commas."""
    encoding: str | None = None
    day_first: bool = False
    """Dates with - or / begin with the day."""
    timezone: str | None = None
    """The zone of times that name no zone."""
    event_type: str | None = None
    """The type of all rows."""
    type_map: str | None = None
    """What types of the file mean: `pv=view,fav=click`."""
    item_separator: str | None = None
    """What parts the items in a cell."""
    explode: str | None = None
    """The column of users or items whose cells hold several."""
    start_date: str | None = None
    """The date of day 1 in a file that numbers its days."""
    literal_ids: bool = False
    no_times: bool = False

    def __bool__(self) -> bool:
        """Return whether anything is said."""
        return any(self.mapping.values()) or any(
            getattr(self, part.name) for part in fields(self) if part.name != "mapping"
        )

    def __str__(self) -> str:
        """Return what is said, for the state of a playground: empty when nothing is."""
        said = {name: column for name, column in self.mapping.items() if column}
        said |= {
            part.name: value for part in fields(self) if part.name != "mapping" and (value := getattr(self, part.name))
        }
        return " ".join(f"{name}={value}" for name, value in sorted(said.items()))

    def options(self) -> SourceOptions:
        """Return the options for the readers. Raises `UnfitWords`."""
        if self.encoding is not None and not _has_ascii(self.encoding):
            raise UnfitWords(f"{self.encoding!r} is no encoding with ASCII in it, as utf-8, latin-1 or cp1252")
        layout = Layout(None if self.columns is None else [name.strip() for name in self.columns.split(",")])
        if self.encoding is not None:
            layout = replace(layout, encoding=self.encoding)
        return SourceOptions(
            self.mapping,
            layout,
            self.day_first,
            zone=_zone(self.timezone),
            event_type=None if self.event_type is None else _event_type(self.event_type),
            type_names=_type_names(self.type_map),
            item_separator=self.item_separator or None,
            explode=self.explode,
            literal_ids=self.literal_ids,
            start=None if self.start_date is None else _date(self.start_date),
            times_needed=not self.no_times,
        )


def _zone(name: str | None) -> tzinfo:
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnfitWords(f"{name!r} is no time zone, as UTC or Europe/Berlin") from error


def _date(written: str) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError as error:
        raise UnfitWords(f"{written!r} is no date, as 2017-01-01") from error


def _event_type(name: str) -> str:
    kinds = [kind.value for kind in EventType]
    if name not in kinds:
        raise UnfitWords(f"{name!r} is no type of an event: it is one of {', '.join(kinds)}")
    return name


def _type_names(written: str | None) -> dict[str, str]:
    found = {}
    for part in (written or "").split(",") if written else ():
        name, mark, kind = part.partition("=")
        if not mark or not name.strip():
            raise UnfitWords(f"{part!r} is no name and type, as pv=view")
        found[name.strip()] = _event_type(kind.strip())
    return found


def choose(
    source: str, paths: Sequence[Path], *, items: Sequence[Path] = (), words: TableWords | None = None
) -> Chosen:
    """Check the source, its files and its options, and return them. Nothing is opened.

    Args:
        source: a name of `SOURCES`, or the path of a file, which is read as a table.
        paths: the files of the source.
        items: files with the items of the source.
        words: what is said about a table.

    Raises:
        UnknownDataset: the source or a file does not exist.
        UnfitWords: the options do not fit the source.
    """
    words = words or TableWords()
    guessed = source not in SOURCES
    if guessed:
        source, paths = TABLE, [Path(source), *paths]
    if source in TRADE and any(words.mapping.values()):
        raise UnfitWords(f"{source} knows its columns: name columns for a table")
    if source not in (*TRADE, TABLE) and words:
        raise UnfitWords(f"{source} knows its columns: name columns, encodings and the order of dates for a table")
    if source == COMPLETE_JOURNEY and paths:
        raise UnfitWords(f"{source} comes as a package, and takes no file")
    if source != COMPLETE_JOURNEY and not paths:
        raise UnfitWords(f"{source} needs a file")
    if missing := [str(path) for path in paths if not path.exists()]:
        if guessed and missing[0] == str(paths[0]):
            raise UnknownDataset(f"{missing[0]} is neither {', '.join(SOURCES)} nor a file")
        raise UnknownDataset(f"there is no file {missing[0]}")
    return Chosen(source, paths, items, words.options())


def _has_ascii(encoding: str) -> bool:
    """Return whether lines and columns can be found in the bytes before they are decoded."""
    sample = "a,\t\n"
    try:
        return codecs.lookup(encoding).name != "utf-8-sig" and sample.encode(encoding) == sample.encode()
    except (LookupError, UnicodeError):
        return False


def read_dataset(
    name: str,
    *,
    sample: int | None,
    min_item_users: int,
    seed: int,
    words: TableWords | None = None,
    reading: "Reading | None" = None,
) -> "EventTable":
    """Read `complete-journey`, or a file as a table. `sample` is the number of users to draw, None for all.

    `words` say what the columns of a file mean; without them a file needs no times. `reading` gets what was understood.
    Raises `UnknownDataset`, `UnfitWords`, `stream.sources.files.compressed.UnreadableFile`, and `ModuleNotFoundError`
    if the package with the data is not installed.
    """
    if name == COMPLETE_JOURNEY:
        if words:
            raise UnfitWords(f"{name} is no file with columns")
        from stream.sources.datasets import complete_journey

        return complete_journey.read(users=sample, min_item_users=min_item_users, seed=seed)
    path = Path(name)
    if not path.exists():
        raise UnknownDataset(f"{name} is neither {COMPLETE_JOURNEY} nor a file")
    from stream.sources.opening import open_source
    from stream.sources.source import Reading

    source = open_source(TABLE, [path], options=SourceOptions() if words is None else words.options())
    return source.read(reading or Reading(), users=sample, min_item_users=min_item_users, seed=seed)
