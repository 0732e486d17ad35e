"""Shaping: how the rows of a published form become rows that every table can have.

Arrives: a block as the file has it. Leaves: a block with columns of known meaning; rows that mean nothing are left out,
and each row keeps its place in the file. Next: `stream.sources.tabular` makes events of the columns,
`stream.sources.catalogue` items.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from stream.sources.cell_columns import amounts
from stream.sources.formats.columns import Block, text
from stream.sources.headers import ColumnMapping, plain_name

Reshape = Callable[[Block], Block]
Reshaping = Callable[[], Reshape]
"""Begins a pass over a file, so that what is carried from block to block is not carried from pass to pass."""
Rules = Callable[[pd.DataFrame], Mapping[str, "pd.Series[bool]"]]
"""The masks of the rows that cannot be events, by reason."""


def _unchanged() -> Reshape:
    return lambda block: block


@dataclass(frozen=True)
class Shaped:
    """A published form of interactions."""

    mapping: ColumnMapping
    """Of the columns after the reshaping."""
    wanted: Sequence[str]
    """The columns of the file that are read."""
    told: Mapping[str, str] = field(default_factory=dict)
    """The file's own columns by meaning, in words; empty: those of the mapping."""
    reshaping: Reshaping = _unchanged
    rules: Rules = lambda _: {}
    """Asked before the rules of every table."""


def of_tables(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Reshaping:
    """Return the reshaping that changes the columns of each block alone and keeps all rows."""
    return lambda: lambda block: replace(block, table=change(block.table))


def only(block: Block, rows: "pd.Series[bool]") -> Block:
    """Return the block with these rows alone."""
    kept = np.flatnonzero(rows.to_numpy(dtype=np.bool_))
    if len(kept) == len(rows):
        return block
    return replace(
        block,
        table=block.table.iloc[kept].reset_index(drop=True),
        numbers=block.numbers[kept],
        places=block.places[kept],
        cells=None if block.cells is None else [block.cells[row] for row in kept.tolist()],
        pieces=None if block.pieces is None else block.pieces[kept],
    )


class Carried:
    """Fills cells that a form writes in the first row of a group alone, as Shopify does for an order and a product.

    The rows of a group follow each other. Only the last row of a block is kept for the next one.
    """

    def __init__(self, group: str, columns: Sequence[str], *, of_first: Sequence[str] = ()) -> None:
        """`columns` are filled where they are empty; of the columns `of_first` the first cell counts for all rows."""
        self._group = group
        self._columns = (*columns, *of_first)
        self._of_first = of_first
        self._before: dict[str, str] = {}

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the table with the empty cells of its columns filled from above, within each group."""
        cells = {name: text(table[name]) for name in (self._group, *self._columns)}
        if not len(table):
            return table
        names = cells[self._group]
        begins = (names != names.shift(fill_value="")).astype(bool)
        begins.iloc[0] = names.iloc[0] != self._before.get(self._group)
        groups = begins.cumsum()
        filled: dict[str, pd.Series[Any]] = {self._group: names}
        for name in self._columns:
            column = cells[name].mask((cells[name] == "") | (~begins if name in self._of_first else False))
            if not begins.iloc[0] and pd.isna(column.iloc[0]):
                column.iloc[0] = self._before[name]
            filled[name] = column.groupby(groups).ffill().fillna("")
        self._before = {name: str(column.iloc[-1]) for name, column in filled.items()}
        return table.assign(**filled)


def own_names(header: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return the file's own names for these plain ones; those that it does not have are left out."""
    own = {plain_name(name): name for name in reversed(header)}
    return {name: own[name] for name in names if name in own}


def renamed(table: pd.DataFrame, own: Mapping[str, str], names: Sequence[str]) -> pd.DataFrame:
    """Return the columns of a file under their plain names, as text; a column that it does not have is empty."""
    nothing = pd.Series("", index=table.index, dtype="string")
    return pd.DataFrame({name: text(table[own[name]]) if name in own else nothing for name in names})


def piece_price(total: "pd.Series[Any]", quantity: "pd.Series[Any]") -> "pd.Series[float]":
    """Return the price of one piece from what was paid for a line."""
    count = amounts(quantity)
    return amounts(total) / count.where(count != 0).fillna(1.0).abs()
