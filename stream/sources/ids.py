"""Ids: one set of rules for the ids of shoppers and items in files.

Arrives: the cells of a column. Leaves: ids as text, "" where a cell names nobody. Next: `stream.sources.rules` refuses
the rows without one, and ids that are too long or damaged.

A program that exports a missing value as a word (`nan`, `NULL`, `\\N`, `undefined`) would make one shopper of all who
are not known, and this shopper would join everything with everything. Such a cell is an empty one, unless the file's
owner says that the words are ids (`literal`). `123.0` is 123: a spreadsheet writes whole numbers so when a cell of
the column is empty.
"""

import re
from typing import Any

import pandas as pd

from stream.sources.formats.columns import text

NULL_WORDS = frozenset(
    (
        *("nan", "null", "none", "nil", "undefined", "nat", "n/a", "#n/a", "-", "true", "false"),
        *("\\n", "<na>", "<null>", "(null)", "(none)", "(not set)"),
    )
)
"""Words for no value, in small letters: of Python, SQL, MySQL's dumps, JavaScript, spreadsheets, Google Analytics and
Snowplow; and of a yes or no, which is no id either."""

_WHOLE = re.compile(r"-?\d+\.0+")


def ids(column: "pd.Series[Any]", *, literal: bool = False) -> "pd.Series[str]":
    """Return the ids of a column. With `literal`, words for no value are ids like others."""
    written = text(column)
    if literal:
        return written
    if written.str.endswith("0").any() and written.str.fullmatch(_WHOLE).any():
        whole = written.str.fullmatch(_WHOLE).astype(bool)
        written = written.where(~whole, written.str.partition(".")[0])
    return written.where(~written.str.casefold().isin(NULL_WORDS), "")


def id_of(written: str) -> str:
    """Return the id in one cell, "" when it names nobody."""
    cell = written.strip()
    if _WHOLE.fullmatch(cell):
        cell = cell.partition(".")[0]
    return "" if cell.casefold() in NULL_WORDS else cell
