"""Times of files: the same in every form, with the sign that an offset has, and never a guess."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import EARLIEST, milliseconds, utc
from stream.sources.formats.columns import LATEST_MS
from stream.sources.times import form_of, times, unordered

BERLIN = ZoneInfo("Europe/Berlin")


def read(cell: str, **options: object) -> str | None:
    """The time of a cell in UTC, to the second."""
    (epoch,) = times(pd.Series([cell], dtype="string"), **options)  # type: ignore[arg-type]
    return None if epoch != epoch else utc(int(epoch)).strftime("%Y-%m-%d %H:%M:%S")


@given(st.integers(milliseconds(EARLIEST) // 1000, LATEST_MS // 1000))
def test_a_time_is_the_same_in_every_form(seconds: int) -> None:
    instant = utc(seconds * 1000)
    bare = instant.replace(tzinfo=None).isoformat(sep=" ")
    compact = instant.strftime("%Y%m%d%H%M%S")
    excel = repr(seconds / 86_400 + 25_569)
    numbers = [str(seconds), f"{seconds}000", f"{seconds}000000", f"{seconds}000000000", f"{seconds}.0"]
    written = [*numbers, compact, excel, instant.isoformat(), bare, instant.strftime("%a, %d %b %Y %H:%M:%S GMT")]
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


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Mon Oct 28 2019 03:00:00 GMT+0200", "2019-10-28 01:00:00"),
        ("Mon Nov 06 2023 01:30:00 GMT-0500", "2023-11-06 06:30:00"),
        ("Mon Nov 06 2023 01:30:00 GMT-0500 (Eastern Standard Time)", "2023-11-06 06:30:00"),
        ("2016-01-02 00:00 UTC-5", "2016-01-02 05:00:00"),
        ("2018-06-04T06:00:00Z-0700", "2018-06-04 13:00:00"),
        ("2023-11-06 13:30:00 +0200", "2023-11-06 11:30:00"),
        ("2023-01-01T10:00:00+05:30", "2023-01-01 04:30:00"),
        ("Sun, 05 Nov 2023 10:00:00 EST", "2023-11-05 15:00:00"),
        ("2023-07-01 10:00 CEST", "2023-07-01 08:00:00"),
        ("13 Jan 2011 10:00 UTC", "2011-01-13 10:00:00"),
        ("2023-01-01 10:00 XYZ", None),
        ("2023-01-01 10:00 IST", None),
        ("2023-01-01 10:00 EST+3", None),
        ("2023-01-01 10:00 GMT+99", None),
    ],
)
def test_an_offset_counts_with_its_own_sign(cell: str, expected: str | None) -> None:
    assert read(cell) == expected
    assert read(cell, zone=BERLIN) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2023-07-01 12:00", "2023-07-01 10:00:00"),
        ("2023-01-01 10:00 PM", "2023-01-01 21:00:00"),
        ("20110113", "2011-01-12 23:00:00"),
        ("2023-12-01 12:00", "2023-12-01 11:00:00"),
        ("2023-10-29 02:30:00", "2023-10-29 00:30:00"),  # twice that night: the first one
        ("2023-03-26 02:30:00", "2023-03-26 01:00:00"),  # never that night: when the clock goes on
        ("1688205600", "2023-07-01 10:00:00"),
    ],
)
def test_a_time_without_a_zone_is_the_shops(cell: str, expected: str) -> None:
    assert read(cell, zone=BERLIN) == expected


def test_times_of_parquet_are_the_shops_too() -> None:
    column = pd.Series(pd.to_datetime(["2023-07-01 12:00"]))
    assert times(column, zone=BERLIN).tolist() == [datetime(2023, 7, 1, 10, tzinfo=UTC).timestamp() * 1000]
    assert times(column).tolist() == [datetime(2023, 7, 1, 12, tzinfo=UTC).timestamp() * 1000]


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (["1700000000", ""], "seconds since 1970"),
        (["1700000000000"], "milliseconds since 1970"),
        (["1700000000000000"], "microseconds since 1970"),
        (["1700000000000000000"], "nanoseconds since 1970"),
        (["20110113"], "digits of a date (yyyymmdd)"),
        (["20110113102600"], "digits of a date (yyyymmddhhmmss)"),
        (["40556.43"], "days of a spreadsheet since 1900"),
        (["2011-01-13", "1700000000"], "seconds since 1970, dates in words or digits"),
        ([""], ""),
    ],
)
def test_how_times_are_written_is_told(cells: list[str], form: str) -> None:
    assert form_of(pd.Series(cells, dtype="string")) == form
    assert form_of(pd.to_datetime(pd.Series(["2011-01-13"]))) == "of the file's own type"
