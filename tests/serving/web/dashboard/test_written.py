"""How values are written."""

import pytest

from serving.dashboard.blocks import Unit
from serving.web.dashboard.written import age, between, moment, written


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "share", "–"),
        (float("nan"), "number", "–"),
        ("m1", "count", "m1"),
        (0.0425, "share", "4.25 %"),
        (0.0, "share", "0 %"),
        (0.00001234, "share", "0.00123 %"),
        (1.0, "share", "100 %"),
        (0.99996, "share", "100 %"),
        (-0.002, "share", "-0.200 %"),
        (1_234_567.0, "count", "1,234,567"),
        (1234.5, "money", "1,234.50 EUR"),
        (4.2, "seconds", "4.20 s"),
        (0.012, "seconds", "12.0 ms"),
        (5400.0, "seconds", "1.50 h"),
        (86_400.0 * 12, "seconds", "12.0 d"),
        (0.0, "seconds", "0 s"),
        (123_456.0, "number", "123,456"),
        (1e-9, "number", "1.00e-09"),
        (1_700_000_000_000.0, "time", "2023-11-14 22:13 UTC"),
        (1e300, "time", "–"),
    ],
)
def test_each_unit(value: str | float | None, unit: Unit, text: str) -> None:
    assert written(value, unit, "EUR").replace("\u202f", " ") == text


def test_an_interval_says_its_unit_once() -> None:
    assert between(0.041, 0.044, "share").replace("\u202f", " ") == "4.10 to 4.40 %"
    assert between(1.0, 2.0, "money", "EUR") == "1.00 to 2.00 EUR"
    assert between(-0.5, 2.0, "number") == "-0.500 to 2.00"
    assert between(None, 2.0, "number") == ""


def test_times_and_ages() -> None:
    assert moment(-1) == moment(10**18) == "–"
    assert [age(seconds).replace("\u202f", " ") for seconds in (0.4, 12.9, 60, 7300, 200_000)] == [
        "now", "12 s ago", "1 min ago", "2 h ago", "2 d ago"
    ]  # fmt: skip
