"""Ids: one set of rules for the ids of shoppers and items in files.

Arrives: a cell. Leaves: an id as text, "" where the cell names nobody. Next: `stream.sources.cell_columns` reads whole
columns by the same rules, and `stream.sources.rules` refuses the rows without an id.

A program that exports a missing value as a word (`nan`, `NULL`, `\\N`, `undefined`) would make one shopper of all who
are not known, and this shopper would join everything with everything. Such a cell is an empty one, unless the file's
owner says that the words are ids (`literal`). `123.0` is 123: a spreadsheet writes whole numbers so when a cell of
the column is empty.
"""

import re

NULL_WORDS = frozenset(
    (
        *("nan", "null", "none", "nil", "undefined", "nat", "n/a", "#n/a", "-", "true", "false"),
        *("\\n", "<na>", "<null>", "(null)", "(none)", "(not set)"),
    )
)
"""Words for no value, in small letters: of Python, SQL, MySQL's dumps, JavaScript, spreadsheets, Google Analytics and
Snowplow; and of a yes or no, which is no id either."""

WHOLE = re.compile(r"-?\d+\.0+")
"""A whole number as a spreadsheet writes it."""


CUT = re.compile(r"\d(?:[.,]\d+)?E\+\d+")
"""A long number as a spreadsheet shows it, `4.00599E+12`: the last digits are lost, and many ids are one."""


def id_of(written: str) -> str:
    """Return the id in one cell, "" when it names nobody."""
    cell = written.strip()
    if WHOLE.fullmatch(cell):
        cell = cell.partition(".")[0]
    return "" if cell.casefold() in NULL_WORDS or CUT.fullmatch(cell) else cell
