"""Ids of files: words for no value name nobody, and a whole number is one id however it is written."""

import pandas as pd
import pytest

from stream.sources.cell_columns import ids


@pytest.mark.parametrize(
    "word", ["nan", "NULL", "None", "\\N", "N/A", "undefined", "<NA>", "#N/A", "(not set)", "-", "True", " "]
)
def test_a_word_for_no_value_names_nobody(word: str) -> None:
    column = pd.Series([word, "u1"], dtype="string")
    assert ids(column).tolist() == ["", "u1"]
    assert ids(column, literal=True).tolist() == [word.strip(), "u1"]


def test_a_whole_number_is_one_id() -> None:
    assert ids(pd.Series(["123.0", "123", "123.00", "1.50", "v1.0", "0"], dtype="string")).tolist() == [
        *("123", "123", "123", "1.50", "v1.0", "0")
    ]
