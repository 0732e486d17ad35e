"""Traffic as arrays: in the order of time, within its windows, sampled by the ids of events."""

import numpy as np

from graphstore.item_fields import ItemRow
from graphstore.session import read, write
from graphstore.upserts import upsert_items
from monitoring.drift.references import Reference
from monitoring.drift.traffic import NO_CATEGORY, is_sampled, read_traffic
from monitoring.windows import TimeWindow

DAY_MS = 86_400_000


def traffic(shop, *, days=2, sample_events=1000):
    windows = tuple(TimeWindow(shop.now - (k + 1) * DAY_MS, shop.now - k * DAY_MS) for k in range(days, 0, -1))
    reference = Reference("trailing", windows, 1)
    with read(shop.engine) as connection:
        return read_traffic(
            connection, reference, TimeWindow(shop.now - DAY_MS, shop.now), sample_events=sample_events
        ), reference


def test_the_events_of_a_known_week(shop):
    with write(shop.engine) as connection:
        upsert_items(connection, [ItemRow("apple", "", ["fruit", "red"], "", 3.0, True, 1)])
    shop.act("view", "apple", time=shop.now - 1, user="ann")
    shop.act("click", "nut", time=shop.now - DAY_MS - 5, user="ben")
    shop.act("view", "apple", time=shop.now - 2 * DAY_MS, user="ann")
    shop.act("view", "apple", time=shop.now, user="ann")  # after the current window
    found, reference = traffic(shop)
    assert (len(found), found.first_current, found.events, found.share) == (3, 2, (2, 1), 1.0)
    assert [found.item_ids[row] for row in found.items] == ["apple", "nut", "apple"]
    assert [found.categories[row] for row in found.items] == ["fruit", NO_CATEGORY, "fruit"]
    assert [found.window(window) for window in reference.windows] == [slice(0, 0), slice(0, 2)]
    assert found.current == slice(2, 3)
    assert found.days.tolist() == [-2, -2, -1]
    assert np.isnan(found.values).all()


def test_a_busy_shop_is_sampled_by_the_ids_of_its_events(sqlite_shop):
    sqlite_shop.trade(sqlite_shop.now - DAY_MS, sqlite_shop.now, 2000, seed=1)
    whole, _ = traffic(sqlite_shop, sample_events=2000)
    half, _ = traffic(sqlite_shop, sample_events=1000)
    assert (len(whole), half.share, half.events) == (2000, 0.5, (0, 2000))
    assert 900 < len(half) < 1100
    assert set(half.times.tolist()) <= set(whole.times.tolist())


def test_the_sample_of_ids_is_the_same_each_time_and_even():
    ids = [f"event-{number}" for number in range(4000)]
    chosen = [name for name in ids if is_sampled(name, 0.25)]
    assert 900 < len(chosen) < 1100
    assert all(is_sampled(name, 0.5) for name in chosen)


def test_no_events_are_empty_arrays(sqlite_shop):
    found, reference = traffic(sqlite_shop)
    assert (len(found), found.current, found.window(reference.windows[0])) == (0, slice(0, 0), slice(0, 0))
