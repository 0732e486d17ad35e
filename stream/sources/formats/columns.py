"""Files as blocks of columns: delimited text, JSON and Parquet of any size.

Arrives: an open file. Leaves: blocks of rows with their position in the file. Cells are text, times, or nested values
of JSON and Parquet. Lines that are not rows become `Rejection`s. Next: `stream.sources.tabular` makes events of the
columns, `stream.sources.catalogue` makes items.

Rejected: the whole table at once, as `pandas.read_csv` returns it. Its memory grows with the file, and a bad row has no
line number.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from graphstore.arrays import IntArray
from stream.sources.files.compressed import OpenFile
from stream.sources.rejections import MAX_ROW_CHARACTERS

BLOCK_ROWS = 10_000
BLOCK_BYTES = 16 * 1024 * 1024
"""A block ends at the first of both limits, so rows with long texts make short blocks."""

LATEST_MS = 4_102_444_800_000
"""The year 2100. Larger numbers are times in another unit, or not times."""

UNNAMED = "-"
"""In a list of column names: a column that is not used."""


@dataclass(frozen=True)
class Block:
    """Some rows of a file."""

    table: pd.DataFrame
    """[num_rows, wanted columns], indexed from 0."""
    numbers: IntArray
    """[num_rows] the number of each row, from 0, which becomes a part of its event id. For text it is the line, so it
    stays the same when other options accept an earlier row that was rejected before."""
    places: IntArray
    """[num_rows] the position of each row in the file's unit, from 1."""
    cells: Sequence[Any] | None = None
    """The original cells of each row, for reports; None: the cells of the table."""

    pieces: IntArray | None = None
    """[num_rows] the place of each row among the rows of its cell (`stream.sources.baskets`); None: each row is one."""

    def shown(self, row: int) -> str:
        """Return a row as text, cut to the length of reports."""
        cells = self.table.iloc[row].to_dict() if self.cells is None else self.cells[row]
        if isinstance(cells, str):
            return cells[:MAX_ROW_CHARACTERS]
        if isinstance(cells, dict):
            return msgspec.json.encode(cells, enc_hook=str).decode("utf-8", errors="replace")[:MAX_ROW_CHARACTERS]
        return ",".join(map(str, cells))[:MAX_ROW_CHARACTERS]


class ColumnFile(ABC):
    """An open file as columns. `header` holds the column names, `unit` is the unit of row positions."""

    header: list[str]
    unit: str

    @property
    @abstractmethod
    def share(self) -> float:
        """The share of the file (0..1) that is read."""

    @abstractmethod
    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        """Yield the rows once, with the wanted columns only.

        Raises `UnreadableFile` when the file is damaged, after the rows before the damage.
        """


def text(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Return the cells as stripped text; an empty cell is an empty text."""
    if column.dtype == object:
        column = column.map(lambda cell: "" if cell is None else str(cell))
    return column.astype("string").fillna("").str.strip()


def is_nested(column: "pd.Series[Any]") -> "pd.Series[bool]":
    """Return the mask of the cells with an object or a list, which cannot be an id."""
    if column.dtype != object:
        return pd.Series(False, index=column.index, dtype=bool)
    return column.map(lambda cell: isinstance(cell, dict | list | tuple | np.ndarray)).astype(bool)


class Gauge:
    """Decides when a block is full."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._begun = file.bytes_read

    def full(self, rows: int) -> bool:
        """Return whether this number of rows since the last block makes a block."""
        if rows < BLOCK_ROWS and self._file.bytes_read - self._begun < BLOCK_BYTES:
            return False
        self._begun = self._file.bytes_read
        return True
