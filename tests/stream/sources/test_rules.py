"""The rules of rows: the first one that is broken is the reason; a time is the same in every form."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import EARLIEST, milliseconds, utc
from stream.sources.formats.columns import LATEST_MS, Block
from stream.sources.rejections import Rejection, Rejections
from stream.sources.rules import base_rules, kept, numbers, times, unordered

GOOD: dict[str, Any] = {
    "event_type": "view",
    "user_id": "u",
    "item_id": "i",
    "event_time": 1.4e12,
    "value": 1.0,
    "quantity": 1.0,
}


def reasons(*changes: dict[str, Any], latest_ms: int = LATEST_MS, valued: bool = True) -> list[str]:
    """The reason of each row, empty where it is kept; each row is a good one but for its changes."""
    table = pd.DataFrame([{**GOOD, **change} for change in changes])
    block = Block(
        table, np.arange(len(table)), np.arange(10, 10 + len(table)), [str(place) for place in range(len(table))]
    )
    told: list[Rejection] = []
    rejections = Rejections(told.append, None)
    good = kept(table, block, base_rules(table, latest_ms=latest_ms, valued=valued), rejections, path="f", unit="line")
    found = {rejection.place - 10: rejection.reason for rejection in told}
    assert [row for row in range(len(table)) if row not in found] == good.index.tolist()
    assert rejections.counts.total() == len(told)
    return [found.get(row, "") for row in range(len(table))]


def test_each_rule() -> None:
    earliest = milliseconds(EARLIEST)
    assert reasons(
        {},
        {"user_id": ""},
        {"item_id": ""},
        {"user_id": "", "item_id": "", "value": np.nan},
        {"user_id": "x" * 129},
        {"item_id": "a\0b"},
        {"user_id": "a\nb"},
        {"event_time": np.nan},
        {"event_time": earliest - 1.0},
        {"event_time": earliest},
        {"event_type": "stare"},
        {"value": np.nan},
        {"value": np.inf},
        {"quantity": 0.0},
        {"quantity": np.nan},
    ) == [
        "",
        "no user",
        "no item",
        "no user",
        "id too long",
        "a control character in an id",
        "a control character in an id",
        "no time",
        "no time",
        "",
        "unknown type",
        "value is no number",
        "value is no number",
        "quantity out of bounds",
        "",
    ]


def test_a_time_to_come_is_none_yet() -> None:
    assert reasons({"event_time": 1.4e12 + 1}, {}, latest_ms=int(1.4e12)) == ["a time to come", ""]


def test_a_row_needs_a_value_only_where_there_is_a_column_of_them() -> None:
    assert reasons({"value": np.nan}, valued=False) == [""]


@given(st.integers(milliseconds(EARLIEST) // 1000, LATEST_MS // 1000))
def test_a_time_is_the_same_in_every_form(seconds: int) -> None:
    instant = utc(seconds * 1000)
    bare = instant.replace(tzinfo=None).isoformat(sep=" ")
    written = [str(seconds), f"{seconds}000", f"{seconds}.0", instant.isoformat(), bare]
    found = times(pd.Series(written, dtype="string"))
    assert [utc(int(epoch)) for epoch in found] == [instant] * len(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "never",
        "NaN",
        "2014-13-45",
        "12:30 XYZ nonsense",
        "00:30",
        "00:30:15.25",
        "00:30+0200",
        "12:30 -2014",
        "today",
        "now",
        "5 March",
        "01/02",
    ],
)
def test_what_is_no_time(written: str) -> None:
    assert times(pd.Series([written, "1393545600"], dtype="string")).isna().tolist() == [True, False]


def test_numbers() -> None:
    found = numbers(pd.Series(["1.5", " 2 ", "", "x", "inf"], dtype="string"))
    assert found.tolist()[:2] == [1.5, 2.0]
    assert found.isna().tolist() == [False, False, True, True, False]


ORDERS = {
    "01.02.2011": ("2011-02-01", "2011-02-01"),
    "13.01.2011": ("2011-01-13", "2011-01-13"),
    "01.13.2011": (None, None),
    "01/02/2011 10:00": ("2011-01-02 10:00", "2011-02-01 10:00"),
    "1-2-2011": ("2011-01-02", "2011-02-01"),
    "13/01/2011": (None, "2011-01-13"),
    "01/13/2011": ("2011-01-13", None),
    "1/2/11 8:26": ("2011-01-02 08:26", "2011-02-01 08:26"),
    "2011-01-13": ("2011-01-13", "2011-01-13"),
    "1294876800": ("2011-01-13", "2011-01-13"),
    "Jan 13, 2011": ("2011-01-13", "2011-01-13"),
}
"""What a date is, as it is read by itself and with the day first."""


@pytest.mark.parametrize("day_first", [False, True])
def test_day_and_month_keep_one_order(day_first: bool) -> None:
    cells = pd.Series(list(ORDERS), dtype="string")
    expected = [pair[day_first] for pair in ORDERS.values()]
    found = times(cells, day_first=day_first)
    assert found.isna().tolist() == [date is None for date in expected]
    assert pd.to_datetime(found.dropna(), unit="ms").tolist() == [pd.Timestamp(date) for date in expected if date]
    assert unordered(cells, day_first=day_first).tolist() == [date is None for date in expected]


def test_times_of_parquet_have_an_order() -> None:
    column = pd.Series(pd.to_datetime(["2011-01-13"]))
    assert not unordered(column).any()
    assert not unordered(column.dt.tz_localize("UTC")).any()
