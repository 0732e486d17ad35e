"""Prices of files: every writing of an amount, and no amount out of other words."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.cell_columns import amounts
from stream.sources.prices import MAX_PRICE, amount_of, price_of


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("12.5", 12.5),
        ("$12.50", 12.5),
        ("12.50$", 12.5),
        ("$1,234.50", 1234.5),
        ("1,299.00", 1299.0),
        ("12,50", 12.5),
        ("1.234,50", 1234.5),
        ("1.234", 1.234),
        ("1,234", 1234.0),
        ("0,500", 0.5),
        ("1.234.567", 1_234_567.0),
        ("\u20b91,099", 1099.0),
        ("\u20b91,09,900", 109_900.0),
        ("15.00 USD", 15.0),
        ("EUR 12,50", 12.5),
        ("1 299,00 kr", 1299.0),
        ("1\u00a0299,00 kr", 1299.0),
        ("1\u202f299,50 \u20ac", 1299.5),
        ("12,50 z\u0142", 12.5),
        ("R$ 12,90", 12.9),
        ("CHF 1'234.50", 1234.5),
        ("\u00a51200", 1200.0),
        ("Rs. 500", 500.0),
        ("from $5", 5.0),
        ("12.50 - 15.00", 12.5),
        ("12,50 EUR - 15,00 EUR", 12.5),
        ("$.99", 0.99),
        ("(3.20)", -3.2),
        ("-3", -3.0),
        ("5-", -5.0),
        ("$-5.00", -5.0),
    ],
)
def test_what_an_amount_is(cell: str, expected: float) -> None:
    assert amount_of(cell) == expected
    assert price_of(cell) == (expected if expected >= 0 else None)


@pytest.mark.parametrize(
    "cell", ["", "abc", "2 pcs", "3.5%", "5 10", "12..5", "1.5.2", "call us: 5", "free", "1,2,3,4,5"]
)
def test_what_no_amount_is(cell: str) -> None:
    assert amount_of(cell) is None


def test_a_price_has_a_bound() -> None:
    assert price_of(f"{MAX_PRICE:.0f}") == MAX_PRICE
    assert price_of(f"{MAX_PRICE + 1:.0f}") is None


def test_a_column_is_read_as_its_cells_are() -> None:
    found = amounts(pd.Series(["1.5", "$2", "", "x", None, "1e3"], dtype="string"))
    assert [None if math.isnan(value) else value for value in found] == [1.5, 2.0, None, None, None, 1000.0]


@given(st.integers(0, 99_999_999), st.sampled_from([("", "."), (",", "."), (".", ","), (" ", ","), ("'", ".")]))
def test_an_amount_is_the_same_in_every_writing(cents: int, marks: tuple[str, str]) -> None:
    thousands, decimal = marks
    whole = f"{cents // 100:,}".replace(",", thousands)
    assert amount_of(f"{whole}{decimal}{cents % 100:02}") == cents / 100
