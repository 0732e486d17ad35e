"""Orders: the heads of orders, which are kept while the lines of another file are read.

Arrives: rows of a file of orders. Leaves: the lines with the user, the time and the state of their order. Next:
`stream.sources.tabular`, through the forms that have their orders in a file of their own.

The heads are in memory, about 300 bytes each, so there may be `MAX_ORDERS` of them; the lines are read block by block.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from stream.sources.files.compressed import UnreadableFile
from stream.sources.formats.columns import Block, text

MAX_ORDERS = 10_000_000
UNKNOWN = "no order of this id in the file of orders"
KNOWN = "known_order"
"""A column of yes and no: whether the order of a line is there."""


class Head(NamedTuple):
    """What a file of orders says of one."""

    user: str
    time_ms: float
    """NaN: the cell is no time."""
    status: str = ""


class Orders:
    """The orders by id. Of two rows of one id the last counts."""

    def __init__(self) -> None:
        self._heads: dict[str, Head] = {}
        self._users: dict[str, str] = {}

    def add(self, heads: Iterable[tuple[str, Head]]) -> None:
        """Keep these orders. Raises `UnreadableFile` for too many."""
        for order_id, head in heads:
            user = self._users.setdefault(head.user, head.user)  # one text for all orders of a user
            self._heads[order_id] = head._replace(user=user)
        if len(self._heads) > MAX_ORDERS:
            raise UnreadableFile(f"more than {MAX_ORDERS:,} orders")

    def joined(self, lines: Block, column: str) -> Block:
        """Return the lines with the columns `user`, `time`, `status` and `KNOWN`; `column` names the order."""
        heads = [self._heads.get(order_id) for order_id in text(lines.table[column]).tolist()]
        nobody = Head("", float("nan"))
        found = [nobody if head is None else head for head in heads]
        table = lines.table.assign(
            user=pd.Series([head.user for head in found], index=lines.table.index, dtype="string"),
            time=pd.Series([head.time_ms for head in found], index=lines.table.index, dtype="float64"),
            status=pd.Series([head.status for head in found], index=lines.table.index, dtype="string"),
            **{KNOWN: [head is not None for head in heads]},
        )
        return replace(lines, table=table)


def unknown_orders(table: pd.DataFrame) -> dict[str, "pd.Series[bool]"]:
    """Return the mask of the lines whose order is not there."""
    return {UNKNOWN: ~table[KNOWN].astype(bool)}
