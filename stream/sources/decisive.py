"""Decisive: what must be understood of a table before any of its rows is stored.

Arrives: a table with the meaning of its columns. Leaves: how its times are written, or `NotUnderstood` with the option
that helps. Next:
`stream.sources.opening` looks at every file in this way before the first one is read.

Only the first block is read. A file whose later rows break the rules is told row by row.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from stream.sources.files.compressed import EmptyFile, NotUnderstood, UnreadableFile, listed, named
from stream.sources.formats.columns import text
from stream.sources.headers import guess_columns
from stream.sources.nested import given_columns, open_table
from stream.sources.options import SourceOptions
from stream.sources.rejections import Rejections
from stream.sources.times import form_of, times, unordered


def look(path: Path, options: SourceOptions) -> str:
    """Return in words how the times are written, "" without any.

    Raises `NotUnderstood` when the table has no row, no times (unless none are needed) or dates in another order.

    Other damage is left to the reading, which keeps the rows before it.
    """
    rejections = Rejections()
    with named(path), open_table(path, rejections, options) as file:
        mapping = guess_columns(file.header, given_columns(file.header, options))
        if mapping.time is None and options.times_needed:
            raise NotUnderstood(
                f"no column of times among {listed(file.header)}: --time-col names it, --no-times takes the rows "
                "in their order, one second each from 1990"
            )
        try:
            block = next(file.blocks(mapping.columns), None)
        except UnreadableFile:
            return ""
        if block is None or block.table.empty:
            if not rejections.counts:
                raise EmptyFile("no row at all: the file holds a header alone")
            return ""
        if mapping.time is None:
            return ""
        _look_at_times(block.table[mapping.time], mapping.time, options)
        return form_of(block.table[mapping.time])


def _look_at_times(column: "pd.Series[Any]", name: str, options: SourceOptions) -> None:
    if 2 * int(unordered(column, day_first=options.day_first).sum()) > len(column):
        read, other = ("day", "without") if options.day_first else ("month", "with")
        raise NotUnderstood(f"most dates of {name!r} do not begin with the {read}: read it {other} --day-first")
    written = text(column)
    filled = (written != "") & (written != name)
    if filled.any() and times(column[filled], day_first=options.day_first, zone=options.zone).isna().all():
        example = written[filled].iloc[0]
        raise NotUnderstood(f"no cell of {name!r} is a time, as {example!r}: --time-col names another column")
