"""Axes: round ticks that hold all values, and round times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.web.dashboard.axes import time_ticks, value_axis
from stream.events import milliseconds, utc

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_000  # 2023-11-14 22:13:20


@given(
    st.floats(-1e9, 1e9, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-9),
    st.floats(0, 1e9, allow_nan=False).filter(lambda value: value == 0 or value > 1e-9),
)
def test_every_value_is_inside_and_the_ticks_are_few(low: float, span: float) -> None:
    axis = value_axis(low, low + span, "number")
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low - slack <= low <= low + span <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 8
    assert axis.ticks[0].place == 0 and axis.ticks[-1].place == 1


def test_an_axis_begins_at_zero_unless_its_values_are_far_from_it() -> None:
    assert value_axis(0.01, 0.05, "share").low == 0
    assert value_axis(0.041, 0.044, "share").low > 0
    assert [tick.text for tick in value_axis(0, 40_000, "money").ticks] == ["0", "10k", "20k", "30k", "40k"]
    assert (value_axis(0, 0, "count").low, value_axis(0, 0, "count").high) == (0, 1)


@pytest.mark.parametrize(
    ("span", "texts"),
    [
        (20 * HOUR, ["15 Nov", "06:00", "12:00", "18:00"]),
        (7 * DAY, ["16 Nov", "18 Nov", "20 Nov"]),
        (1000 * DAY, ["Jan 2024", "Jul 2024", "Jan 2025", "Jul 2025", "Jan 2026", "Jul 2026"]),
        (30 * 365 * DAY, ["Jan 2025", "Jan 2030", "Jan 2035", "Jan 2040", "Jan 2045", "Jan 2050"]),
    ],
)
def test_times_are_round(span: int, texts: list[str]) -> None:
    ticks = time_ticks(START, START + span)
    assert [tick.text for tick in ticks] == texts
    assert all(0 <= tick.place <= 1 for tick in ticks)
    assert utc(START + round(ticks[-1].place * span)).minute == 0 or span > 7 * DAY


def test_one_time_has_one_tick() -> None:
    assert [tick.text for tick in time_ticks(START, START)] == ["14 Nov"]
    assert milliseconds(utc(START)) == START
