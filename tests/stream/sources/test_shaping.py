"""Shaping: what is carried from row to row, and rows that are left out."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.sources.formats.columns import Block
from stream.sources.shaping import Carried, only, piece_price

CELL = st.sampled_from(["", "x", "y"])
CELLS = st.lists(st.tuples(st.sampled_from("ab"), CELL, CELL), max_size=9)


def carried(rows: list[tuple[str, str, str]], cut: int) -> list[tuple[str, ...]]:
    """The rows with what is carried, in two blocks."""
    carry = Carried("g", ["c"], of_first=["f"])
    blocks = [pd.DataFrame(part, columns=["g", "c", "f"], dtype="string") for part in (rows[:cut], rows[cut:])]
    return [tuple(row) for block in blocks for row in carry(block)[["g", "c", "f"]].itertuples(index=False)]


@settings(max_examples=40)
@given(CELLS, st.integers(0, 9))
def test_cells_are_filled_within_their_group_wherever_a_block_ends(rows: list[tuple[str, str, str]], cut: int) -> None:
    expected: list[tuple[str, str, str]] = []
    for group, cell, first in rows:
        goes_on = bool(expected) and expected[-1][0] == group
        expected.append((group, cell or (expected[-1][1] if goes_on else ""), expected[-1][2] if goes_on else first))
    assert carried(rows, cut) == expected


def test_rows_that_stay_keep_their_places() -> None:
    block = Block(pd.DataFrame({"a": [1, 2, 3]}), np.arange(3), np.arange(3) + 7, ["x", "y", "z"])
    kept = only(block, pd.Series([True, False, True]))
    assert (kept.table["a"].tolist(), kept.places.tolist(), kept.numbers.tolist()) == ([1, 3], [7, 9], [0, 2])
    assert [kept.shown(row) for row in range(2)] == ["x", "z"]


def test_the_price_of_a_piece() -> None:
    found = piece_price(pd.Series(["30", "5", "7", "x", "-4"]), pd.Series(["2", "0", "", "1", "-2"]))
    assert found.fillna(-1).tolist() == [15.0, 5.0, 7.0, -1, -2.0]
