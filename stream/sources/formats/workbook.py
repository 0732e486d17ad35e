"""Workbook: reads rows from the sheets of a spreadsheet (xlsx, xlsm, xlsb, xls, ods).

Arrives: a path. Leaves: blocks of columns. Next: `stream.sources.formats.columns` passes them to the readers.

A sheet is read whole: it has about a million rows at most. The first row that is not empty is the header. Sheets with
the same header are one table, as of one sheet for each year. Dates are what the sheet shows, without a zone.

Rejected: openpyxl. It reads no xls, takes several times as long, and builds an object for each cell.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from graphstore.errors import missing_extra
from stream.sources.files.compressed import EmptyFile, UnreadableFile, listed
from stream.sources.formats.columns import BLOCK_ROWS, Block, ColumnFile

ADVICE = "save its sheets as CSV"
LARGEST_WHOLE = 2.0**53


class WorkbookColumns(ColumnFile):
    """An open workbook."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        """Read the sheets. Raises `UnreadableFile`, and `MissingExtra` without the library that reads them."""
        try:
            from python_calamine import CalamineError, load_workbook
        except ModuleNotFoundError as error:
            raise missing_extra("python_calamine", "files") from error
        try:
            book = load_workbook(str(path))
            sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
        except (CalamineError, OSError, ValueError) as error:
            raise UnreadableFile(f"a workbook that cannot be read ({error}): {ADVICE}") from error
        tables = {name: found for name, rows in sheets.items() if (found := _table(rows))}
        if not tables:
            raise EmptyFile("an empty workbook")
        self.header = next(iter(tables.values()))[0]
        if others := [name for name, (header, _) in tables.items() if header != self.header]:
            raise UnreadableFile(
                f"sheets of different columns ({listed(tables)}): save the one of events as CSV "
                f"(it is not {others[0]!r}?)"
            )
        self._rows = [row for _, rows in tables.values() for row in rows]
        self._done = 0

    @property
    def share(self) -> float:
        """The share of the file (0..1) that is read."""
        return self._done / len(self._rows) if self._rows else 1.0

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        """See `ColumnFile.blocks`."""
        columns = [self.header.index(name) for name in wanted]
        for first in range(0, len(self._rows), BLOCK_ROWS):
            rows = self._rows[first : first + BLOCK_ROWS]
            self._done = first + len(rows)
            table = pd.DataFrame(
                {
                    name: pd.Series([cells[column] for _, cells in rows], dtype="string")
                    for name, column in zip(wanted, columns, strict=True)
                }
            )
            numbers = np.arange(first, first + len(rows), dtype=np.int64)
            places = np.array([place for place, _ in rows], dtype=np.int64)
            yield Block(table, numbers, places, [cells for _, cells in rows])


def _table(rows: list[list[Any]]) -> tuple[list[str], list[tuple[int, list[str]]]] | None:
    """Return the header, and the rows that are not empty with their number in the sheet; None for an empty sheet."""
    filled = [(place, cells) for place, row in enumerate(rows, start=1) if any(cells := [_text(cell) for cell in row])]
    return (filled[0][1], filled[1:]) if filled else None


def _text(cell: Any) -> str:
    """Return a cell as text: a whole number without a point, a date as ISO 8601 writes it."""
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < LARGEST_WHOLE else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    return str(cell).strip()
