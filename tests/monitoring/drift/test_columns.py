"""Columns of known traffic: what is known of an item lies before the event, and prices are what was paid."""

import numpy as np

from graphstore.tables import EVENT_TYPES
from monitoring.drift.columns import OTHER, TOP, event_columns
from monitoring.drift.traffic import Traffic

DAY_MS = 86_400_000
VIEW, PURCHASE = EVENT_TYPES.index("view"), EVENT_TYPES.index("purchase")


def traffic(events, first_current, items=3, reference_end=-1):
    """Events are (day, shopper, item, value); day 0 is the current window's, earlier ones are negative."""
    table = np.array([(day, shopper, item, np.nan if value is None else value) for day, shopper, item, value in events])
    return Traffic(
        times=(table[:, 0] * DAY_MS - 10_000_000).astype(np.int64),
        shoppers=table[:, 1].astype(np.int64),
        first_current=first_current,
        end=0,
        share=1.0,
        items=table[:, 2].astype(np.int64),
        kinds=np.where(np.isnan(table[:, 3]), VIEW, PURCHASE).astype(np.int8),
        values=table[:, 3],
        item_ids=[f"i{n}" for n in range(items)],
        categories=["fruit", "meat", "fruit", *["other"] * items][:items],
        events=(first_current, len(events) - first_current),
        reference_end=reference_end * DAY_MS,
    )


def column(found, name):
    return next(one for one in found if one.name == name)


def words(found, name):
    one = column(found, name)
    return [one.words[int(number)] for number in one.numbers]


def test_words():
    found = event_columns(traffic([(-1, 1, 0, None), (-1, 1, 0, 2.0), (0, 1, 1, None)], 2))
    assert words(found, "event_type") == ["view", "purchase", "view"]
    assert words(found, "category") == ["fruit", "fruit", "meat"]
    assert words(found, "top_item") == ["i0", "i0", "i1"]
    assert set(words(found, "time_of_day")) == {"20 h"}


def test_popularity_is_that_of_the_two_weeks_before():
    events = [(-2, 1, 0, None), (-2, 2, 0, None), (-1, 1, 0, None), (-1, 1, 1, None), (0, 1, 0, None), (0, 1, 2, None)]
    found = column(event_columns(traffic(events, 4)), "item_popularity").numbers
    assert found.tolist() == [0, 0, 2, 0, 2, 0]  # the logarithms of 0, 0, 2, 0, 3, 0 events before


def test_what_is_older_than_two_weeks_is_forgotten():
    events = [(-20, 1, 0, None), (-14, 1, 0, None), (0, 1, 0, None)]
    assert column(event_columns(traffic(events, 2)), "item_popularity").numbers.tolist() == [0, 1, 1]


def test_the_current_window_knows_what_the_reference_knew_last():
    """A champion of long ago: its weeks are compared with today."""
    events = [(-90, 1, 0, None), (-89, 1, 1, None), (0, 1, 0, None), (0, 1, 2, None)]
    assert column(event_columns(traffic(events, 2, reference_end=-88)), "item_popularity").numbers.tolist() == [
        0,
        0,
        1,
        0,
    ]


def test_a_price_change_is_against_the_usual_price_of_the_weeks_before():
    cheap = [(-day, 1, 0, 4.0) for day in (5, 4, 3, 2)]
    found = column(event_columns(traffic([*cheap, (0, 1, 0, 8.0), (0, 1, 1, 8.0), (0, 1, 0, None)], 4)), "price_change")
    assert found.numbers[3:5].tolist() == [0, 4]  # twice the price: four steps
    assert np.isnan(found.numbers[[0, 1, 2, 5, 6]]).all()  # no usual price yet, no price


def test_activity_counts_a_shoppers_day():
    events = [(-1, 1, 0, None), *[(0, 1, 0, None)] * 4, (0, 2, 0, None)]
    found = column(event_columns(traffic(events, 1)), "activity").numbers
    assert found.tolist() == [0, 2, 2, 2, 2, 0]


def test_only_the_top_items_of_the_reference_keep_their_names():
    events = [(-1, 1, item, None) for item in range(TOP + 2) for _ in range(1 + (item < TOP))]
    found = event_columns(traffic([*events, (0, 1, TOP, None)], len(events), items=TOP + 2))
    assert set(words(found, "top_item")) == {f"i{n}" for n in range(TOP)} | {OTHER}


def test_the_item_map_is_a_column_for_each_direction():
    places = np.array([[1.0, 2.0], [np.nan, np.nan], [5.0, 6.0]])
    found = event_columns(traffic([(-1, 1, 2, None), (0, 1, 1, None)], 1), places)
    assert column(found, "embedding_2").numbers[0] == 6.0
    assert np.isnan(column(found, "embedding_1").numbers[1])
