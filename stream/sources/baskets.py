"""Baskets: a cell with several items becomes a row for each of them.

Arrives: a block whose item column holds lists (JSON, Parquet) or text with a separator. Leaves: a block with one item
in each row. Next: `stream.sources.tabular` makes events of the rows.

Text is split only where the file's owner names the separator or the column, because an id may contain any mark. A file
in which most items hold the same mark is told (`suspected`).
"""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from graphstore.arrays import IntArray
from stream.sources.formats.columns import Block, is_nested, text

MARKS = ("|", ";", ",")
"""Marks that part items in a cell more often than they belong to an id."""
SUSPECTED_SHARE = 0.5


ANY_SEPARATOR = re.compile(r"[|;,\s]+")


def exploded(block: Block, column: str, separator: str | re.Pattern[str] | None) -> Block:
    """Return the block with a row for each name in a cell of the column: of a list, or of text with the separator."""
    found = block.table[column]
    lists = is_nested(found) & found.map(lambda cell: not isinstance(cell, dict)).astype(bool)
    if separator is None and not lists.any():
        return block
    cells = [_items(cell, separator) for cell in found]
    many = repeated(block, np.array([len(cell) for cell in cells], dtype=np.int64))
    many.table[column] = pd.Series([name for cell in cells for name in cell], index=many.table.index, dtype="object")
    return many


def repeated(block: Block, sizes: IntArray) -> Block:
    """Return the block with `sizes` rows [num_rows] for each of its rows; `Block.pieces` numbers them from 0."""
    rows = np.repeat(np.arange(len(sizes)), sizes)
    numbers = block.numbers[rows]
    begins = np.flatnonzero(np.diff(numbers, prepend=-1) != 0)  # the rows of one record follow each other
    runs = np.diff(begins, append=len(rows))
    return replace(
        block,
        table=block.table.iloc[rows].reset_index(drop=True),
        numbers=numbers,
        places=block.places[rows],
        cells=None if block.cells is None else [block.cells[row] for row in rows.tolist()],
        pieces=np.arange(len(rows), dtype=np.int64) - np.repeat(begins, runs),
    )


def suspected(column: "pd.Series[Any]") -> str | None:
    """Return the mark that most cells hold; None: the cells look like one item each."""
    written = text(column)
    shares = {mark: float(written.str.contains(mark, regex=False).mean()) for mark in MARKS}
    mark = max(shares, key=lambda name: shares[name])
    return mark if len(written) > 1 and shares[mark] > SUSPECTED_SHARE else None


def _items(cell: Any, separator: str | re.Pattern[str] | None) -> list[Any]:
    """Return the items of a cell; an empty cell stays one row without an item, so that it is told."""
    if isinstance(cell, list | tuple | np.ndarray):
        return list(cell) or [""]
    if separator is None or not isinstance(cell, str):
        return [cell]
    parts = cell.split(separator) if isinstance(separator, str) else _listed(cell) or separator.split(cell)
    return [part for part in parts if str(part).strip()] or [""]


def _listed(cell: str) -> list[str] | None:
    """Return the names in the text of a list, as JSON and Python write it; None when it is no list."""
    inner = cell.strip()
    if not (inner.startswith("[") and inner.endswith("]")):
        return None
    return [part.strip().strip("\"'") for part in inner[1:-1].split(",")]
