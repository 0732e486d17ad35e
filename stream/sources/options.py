"""What whoever has the files knows of them, and the files themselves do not say.

Arrives: the options of the command line, or what a published data set is known for. Leaves: `SourceOptions`. Next:
`stream.sources.opening` recognises the files by them, `stream.sources.tabular` reads them. No reader is loaded with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, tzinfo
from typing import Self


@dataclass(frozen=True)
class Layout:
    """How the text of a file is to be read, where the file itself does not say it."""

    names: Sequence[str] | None = None
    """The columns of a file without a header."""
    separator: str | None = None
    """None: the one that the first line has most of."""
    quoted: bool | None = None
    """Whether `"` around a cell is no part of it; None: as the first lines show it, and yes where commas part cells."""
    encoding: str = "utf-8"
    """Any that has ASCII in it."""


@dataclass(frozen=True)
class SourceOptions:
    """One value for everything that opens or reads a table."""

    columns: Mapping[str, str | None] = field(default_factory=dict)
    """The columns by meaning (`stream.sources.headers.MEANINGS`, and price); one without a name is found by itself."""
    layout: Layout = field(default_factory=Layout)
    day_first: bool = False
    """Dates with `/` or `-` begin with the day, not with the month."""
    zone: tzinfo = UTC
    """Of times that name no zone."""
    event_type: str | None = None
    """The type of all rows; None: the file's own types, or what its columns are."""
    type_names: Mapping[str, str] = field(default_factory=dict)
    """What the names of types in the file mean."""
    item_separator: str | None = None
    """What parts the items in a cell of a basket; None: a cell is one item."""
    explode: str | None = None
    """The column of users or items whose cells hold several: lists, or text with any separator."""
    literal_ids: bool = False
    """Words for no value (`nan`, `NULL`) are ids."""
    start: date | None = None
    """The date of the first day, in files that number their days."""
    times_needed: bool = False
    """A file without a column of times is refused."""

    def of_items(self) -> Self:
        """The same for a file of items, which has a header of its own: names of columns are the interactions'."""
        return replace(self, layout=replace(self.layout, names=None))
