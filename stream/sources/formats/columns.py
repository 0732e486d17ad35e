"""Files as columns, in blocks: CSV and its kin, JSON and Parquet, whatever their size.

Arrives: a path. Leaves: blocks of rows whose cells are text, times, or what JSON and Parquet nest, each row with its
place in the file; what cannot be read as a row is a `Rejection`. Next: `stream.sources.tabular` makes events of the
columns, `stream.sources.catalogue` items.

The whole table at once, as `pandas.read_csv` gives it, was the form before: its memory grew with the file, and a bad
row had no line number.
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
"""A block ends at whichever of the two comes first: rows of long texts make short blocks."""

UNNAMED = "-"
"""In a list of column names: one that nobody wants."""


@dataclass(frozen=True)
class Block:
    """Some rows of a file."""

    table: pd.DataFrame
    """[num_rows, wanted columns], indexed from 0."""
    numbers: IntArray
    """[num_rows] the number of each row, from 0, which names its event. Of text it follows the line, so that it stays
    the same when a row before it, refused once, is read another time by better options."""
    places: IntArray
    """[num_rows] where each row stands, from 1, in the file's unit."""
    cells: Sequence[Any] | None = None
    """Each row as it was, for telling; None: as the table has it."""

    def shown(self, row: int) -> str:
        """A row as text, not longer than is told of it."""
        cells = self.table.iloc[row].to_dict() if self.cells is None else self.cells[row]
        if isinstance(cells, str):
            return cells[:MAX_ROW_CHARACTERS]
        if isinstance(cells, dict):
            return msgspec.json.encode(cells, enc_hook=str).decode("utf-8", errors="replace")[:MAX_ROW_CHARACTERS]
        return ",".join(map(str, cells))[:MAX_ROW_CHARACTERS]


class ColumnFile(ABC):
    """An open file as columns. `header` are their names, `unit` is what its rows are counted in."""

    header: list[str]
    unit: str

    @property
    @abstractmethod
    def share(self) -> float:
        """How much of the file (0..1) is read."""

    @abstractmethod
    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        """The rows, once; of the columns no more than the wanted ones.

        Raises `UnreadableFile` where the file cannot be read on; the rows before that were given.
        """


def plain_name(header: str) -> str:
    """A column's name as it is compared: lower case, `user_id:token` (RecBole's typed headers) as `user_id`."""
    name, _, kind = header.strip().lower().partition(":")
    return name if kind in ("", "token", "token_seq", "float", "float_seq") else header.strip().lower()


def text(column: "pd.Series[Any]") -> "pd.Series[str]":
    """The cells as text without spaces around it; empty where there is none."""
    if column.dtype == object:
        column = column.map(lambda cell: "" if cell is None else str(cell))
    return column.astype("string").fillna("").str.strip()


def is_nested(column: "pd.Series[Any]") -> "pd.Series[bool]":
    """Which cells hold an object or a list, of which no text can be made that names anything."""
    if column.dtype != object:
        return pd.Series(False, index=column.index, dtype=bool)
    return column.map(lambda cell: isinstance(cell, dict | list | tuple | np.ndarray)).astype(bool)


class Gauge:
    """Says when a block is full."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._begun = file.bytes_read

    def full(self, rows: int) -> bool:
        """Whether so many rows, read since the last block, are one."""
        if rows < BLOCK_ROWS and self._file.bytes_read - self._begun < BLOCK_BYTES:
            return False
        self._begun = self._file.bytes_read
        return True


LATEST_MS = 4_102_444_800_000
"""The year 2100: what lies beyond is a time in another unit, or none."""
