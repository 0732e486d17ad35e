"""Traffic columns: what they hold, and that they do not depend on the window's length or place."""

from dataclasses import replace

import pytest

from graphstore.session import read, write
from graphstore.upserts import ItemRow, upsert_items
from monitoring.traffic import ACTIVITY_BOUND, OTHER, TOP, drift_windows, read_traffic
from monitoring.windows import TimeWindow

HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def traffic(shop, reference, current, sample_rows=1000):
    with read(shop.engine) as connection:
        return read_traffic(connection, reference, current, sample_rows=sample_rows)


def test_the_columns_of_a_known_day(shop):
    with write(shop.engine) as connection:
        upsert_items(connection, [ItemRow("apple", "", ["fruit", "red"], "", 3.0, True, 1)])
    shop.act("view", "apple", time=shop.now, user="ann")
    shop.act("purchase", "apple", time=shop.now + 5 * HOUR_MS, user="ann")
    shop.act("click", "nut", time=shop.now + 5 * HOUR_MS, user="ben")
    reference, current = TimeWindow(shop.now, shop.now + HOUR_MS), TimeWindow(shop.now + HOUR_MS, shop.now + DAY_MS)
    before, after = traffic(shop, reference, current)
    assert (before.events, before.rows, after.events, after.rows) == (1, 1, 2, 2)
    assert before.columns == {
        "event_type": ["view"],
        "time_of_day": ["12 h"],
        "top_item": ["apple"],
        "category": ["fruit"],
        "item_popularity": [2.0],
        "price": [2.0],
        "activity": [1.0],
    }
    assert after.columns == {
        "event_type": ["purchase", "click"],
        "time_of_day": ["16 h", "16 h"],
        "top_item": ["apple", "nut"],
        "category": ["fruit", "(none)"],
        "item_popularity": [2.0, 1.0],
        "price": [2.0, None],
        "activity": [2.0, 1.0],  # ann's view lies in the other window and counts all the same
    }


def test_windows_hold_their_start_and_not_their_end(shop):
    for offset in (-1, 0, 9, 10):
        shop.act("view", "apple", time=shop.now + offset)
    before, after = traffic(shop, TimeWindow(shop.now - 5, shop.now), TimeWindow(shop.now, shop.now + 10))
    assert (before.events, after.events) == (1, 2)


def test_a_sample_is_bounded_and_keeps_the_mix(shop):
    shop.trade(shop.now, shop.now + DAY_MS, 1000, seed=1)
    reference, current = TimeWindow(shop.now - DAY_MS, shop.now), TimeWindow(shop.now, shop.now + DAY_MS)
    _, whole = traffic(shop, reference, current)
    _, sample = traffic(shop, reference, current, sample_rows=300)
    assert (whole.rows, sample.events) == (1000, 1000)
    assert 200 <= sample.rows <= 300
    assert set(sample.columns["time_of_day"]) == set(whole.columns["time_of_day"])  # spread over the day
    views = [side.columns["event_type"].count("view") / side.rows for side in (whole, sample)]
    assert views[1] == pytest.approx(views[0], abs=0.1)


def test_only_the_top_items_keep_their_names(sqlite_shop):
    shop = sqlite_shop
    for number in range(TOP + 5):
        for _ in range(1 + (number < TOP)):
            shop.act("view", f"i{number}", user=f"u{number}")
    _, current = traffic(shop, TimeWindow(0, shop.now), TimeWindow(shop.now, shop.now + 1))
    names = set(current.columns["top_item"])
    assert names == {f"i{number}" for number in range(TOP)} | {OTHER}


def test_a_crawler_costs_no_more_than_the_bound(sqlite_shop):
    for second in range(3 * ACTIVITY_BOUND):
        sqlite_shop.act("view", "apple", time=sqlite_shop.now + second * 1000, user="crawler")
    _, current = traffic(
        sqlite_shop, TimeWindow(0, sqlite_shop.now), TimeWindow(sqlite_shop.now, sqlite_shop.now + DAY_MS)
    )
    assert max(current.columns["activity"]) == ACTIVITY_BOUND.bit_length()


def test_empty_windows_are_empty_columns(sqlite_shop):
    before, after = traffic(sqlite_shop, TimeWindow(0, 5), TimeWindow(5, 10))
    assert (before.rows, after.rows, before.events) == (0, 0, 0)
    assert replace(before, window=after.window) == after


def test_the_current_window_ends_with_the_newest_event_that_is_not_ahead_of_the_clock(shop):
    def windows():
        with read(shop.engine) as connection:
            return drift_windows(connection, now=shop.now, window_seconds=60, reference_seconds=600)

    assert windows() is None
    last = shop.now - 30 * DAY_MS
    shop.act("view", "apple", time=last)
    shop.act("view", "apple", time=shop.now + 1)
    reference, current = windows()
    assert (current.start, current.end) == (last + 1 - 60_000, last + 1)
    assert (reference.start, reference.end) == (current.start - 600_000, current.start)
