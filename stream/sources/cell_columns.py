"""Cell columns: whole columns of a file, read cell by cell as ids, amounts, types of events and states of orders.

Arrives: columns as the file has them. Leaves: columns in the form of the contract. The rules of a cell are in
`stream.sources.ids`, `stream.sources.prices` and `stream.sources.event_names`, which messages use, too. Next:
`stream.sources.tabular` and `stream.sources.catalogue`.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from stream.sources.event_names import event_type_of, plain_event, taken_back_of
from stream.sources.formats.columns import text
from stream.sources.ids import CUT, NULL_WORDS, WHOLE
from stream.sources.prices import amount_of


def ids(column: "pd.Series[Any]", *, literal: bool = False) -> "pd.Series[str]":
    """Return the ids of a column. With `literal`, words for no value are ids like others."""
    written = text(column)
    if literal:
        return written
    if written.str.endswith("0").any() and written.str.fullmatch(WHOLE).any():
        whole = written.str.fullmatch(WHOLE).astype(bool)
        written = written.where(~whole, written.str.partition(".")[0])
    if written.str.contains("E+", regex=False).any():
        written = written.where(~written.str.fullmatch(CUT).astype(bool), "")
    return written.where(~written.str.casefold().isin(NULL_WORDS), "")


def amounts(column: "pd.Series[Any]") -> "pd.Series[float]":
    """Return the amounts of a column; NaN where a cell has none. Plain numbers cost nothing more."""
    written = text(column)
    found = pd.to_numeric(written, errors="coerce").astype("float64")
    odd = found.isna() & (written != "")
    if odd.any():
        read = {cell: amount_of(cell) for cell in written[odd].unique()}
        found = found.where(~odd, written.map(read).astype("float64"))
    return found


def event_types(column: "pd.Series[Any]", given: Mapping[str, str] | None = None) -> "pd.Series[str]":
    """Return the type of each cell; a word that is no type stays as it is, and `stream.sources.rules` refuses its row.

    `given` maps names of the file to types, and comes first.
    """
    names = {plain_event(name): kind for name, kind in (given or {}).items()}
    written = text(column)
    found = {cell: str(names.get(plain_event(cell)) or event_type_of(cell) or cell) for cell in written.unique()}
    return written.map(found).astype("string")


def taken_back(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Return `return` or `cancel` where the state of an order says so, else an empty text."""
    written = text(column)
    found = {cell: str(taken_back_of(cell) or "") for cell in written.unique()}
    return written.map(found).astype("string")
