"""Clocks: a date and a clock in two columns are one time, and what is no clock is no time."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import utc
from stream.sources.clocks import seconds_of
from stream.sources.options import SourceOptions
from stream.sources.tabular import read


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [
        ("16:30", 59400),
        ("4:30:05 PM", 59405),
        ("12:05 am", 300),
        ("9:05:10.250", 32710),
        ("5", 300),
        ("930", 34200),
        ("1630", 59400),
        ("163005", 59405),
        ("0.6875", 59400),
        ("2460", None),
        ("13:00 PM", None),
        ("noon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_a_cell_is_a_clock_or_is_none(clock: str, seconds: int | None) -> None:
    assert seconds_of(clock) == seconds


@given(st.integers(0, 24 * 60 - 1))
def test_every_minute_is_read_in_every_form(minute: int) -> None:
    hours, minutes = divmod(minute, 60)
    half = f"{(hours + 11) % 12 + 1}:{minutes:02} {'PM' if hours >= 12 else 'AM'}"
    forms = [f"{hours}:{minutes:02}", f"{hours:02}:{minutes:02}:00", f"{hours:02}{minutes:02}", half]
    forms += [str(hours * 100 + minutes), f"{hours:02}{minutes:02}00"]
    assert {seconds_of(form) for form in forms} == {minute * 60}


def moments(path: Path, rows: str, *, day_first: bool = False) -> list[str]:
    path.write_text(f"user_id,item_id,day,clock\n{rows}")
    options = SourceOptions(
        {"time": "day,clock"}, day_first=day_first, zone=ZoneInfo("Europe/Berlin"), times_needed=True
    )
    return [f"{utc(time):%Y-%m-%d %H:%M}" for time in read(path, options).interactions["event_time"]]


def test_both_columns_are_one_local_time(tmp_path: Path) -> None:
    rows = (
        "u,i,20240501,1630\nu,i,2024-05-02,9:05\nu,i,2024-05-03 00:00:00,0.25\nu,i,45416,12:00\nu,i,2024-05-05,later\n"
    )
    assert moments(tmp_path / "f.csv", rows) == [
        "2024-05-01 14:30",
        "2024-05-02 07:05",
        "2024-05-03 04:00",
        "2024-05-04 10:00",
    ]
    assert moments(tmp_path / "f.csv", "u,i,13/05/2024,5\n", day_first=True) == ["2024-05-12 22:05"]


def test_both_nights_of_a_clock_change(tmp_path: Path) -> None:
    rows = "u,i,2024-03-31,1:30\nu,i,2024-03-31,2:30\nu,i,2024-03-31,3:30\nu,i,2024-10-27,2:30\nu,i,2024-10-27,3:30\n"
    assert moments(tmp_path / "f.csv", rows) == [
        "2024-03-31 00:30",
        "2024-03-31 01:00",
        "2024-03-31 01:30",
        "2024-10-27 00:30",
        "2024-10-27 02:30",
    ]
