"""Baskets: a cell with several items becomes a row for each of them.

Arrives: a block whose item column holds lists (JSON, Parquet) or text with a separator. Leaves: a block with one item
in each row. Next: `stream.sources.tabular` makes events of the rows.

Text is split only where the file's owner names the separator, because an id may contain any mark. A file in which most
items hold the same mark is told (`suspected`).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from stream.sources.formats.columns import Block, is_nested, text

MARKS = ("|", ";", ",")
"""Marks that part items in a cell more often than they belong to an id."""
SUSPECTED_SHARE = 0.5


def exploded(block: Block, item: str, separator: str | None) -> Block:
    """Return the block with a row for each item of a cell; `Block.pieces` numbers the rows of one cell from 0."""
    column = block.table[item]
    lists = is_nested(column) & column.map(lambda cell: not isinstance(cell, dict)).astype(bool)
    if separator is None and not lists.any():
        return block
    cells = [_items(cell, separator) for cell in column]
    sizes = np.array([len(cell) for cell in cells], dtype=np.int64)
    rows = np.repeat(np.arange(len(cells)), sizes)
    table = block.table.iloc[rows].reset_index(drop=True)
    table[item] = pd.Series([name for cell in cells for name in cell], index=table.index, dtype="object")
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    return replace(
        block,
        table=table,
        numbers=block.numbers[rows],
        places=block.places[rows],
        cells=None if block.cells is None else [block.cells[row] for row in rows.tolist()],
        pieces=np.arange(len(rows), dtype=np.int64) - starts,
    )


def suspected(column: "pd.Series[Any]") -> str | None:
    """Return the mark that most cells hold; None: the cells look like one item each."""
    written = text(column)
    shares = {mark: float(written.str.contains(mark, regex=False).mean()) for mark in MARKS}
    mark = max(shares, key=lambda name: shares[name])
    return mark if len(written) > 1 and shares[mark] > SUSPECTED_SHARE else None


def _items(cell: Any, separator: str | None) -> list[Any]:
    """Return the items of a cell; an empty cell stays one row without an item, so that it is told."""
    if isinstance(cell, list | tuple | np.ndarray):
        return list(cell) or [""]
    if separator is None or not isinstance(cell, str):
        return [cell]
    return [part for part in cell.split(separator) if part.strip()] or [""]
