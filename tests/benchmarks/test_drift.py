"""The drift benchmark: its figures and tables, and that an injection leaves the store as it was."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import func, select

from benchmarks import drift_shops as shops
from graphstore.session import read
from graphstore.tables import interactions, items
from monitoring.drift.verdict import ColumnDrift, DriftResult
from monitoring.windows import TimeWindow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Evidently and what it imports use parts of other libraries that will go
    from benchmarks import drift

WINDOW = TimeWindow(50, 100)


@pytest.fixture
def store(tmp_path):
    frame = pd.DataFrame(
        {
            "user_id": [f"u{n % 3}" for n in range(100)],
            "item_id": [f"i{n % 7}" for n in range(100)],
            "event_type": "purchase",
            "event_time": np.arange(100),
            "value": 4.0,
        }
    )
    found = shops.stored(tmp_path / "shop.db", frame, [])
    yield found
    found.engine.dispose()


def state(connection):
    rows = connection.execute(select(interactions.c.item_key, interactions.c.value).order_by(interactions.c.event_time))
    return [tuple(row) for row in rows], connection.scalar(select(func.count()).select_from(items))


@pytest.mark.parametrize("change", [shops.reversed_popularity, shops.new_catalogue, shops.price_shock])
def test_an_injection_changes_its_window_alone_and_is_undone(store, change):
    with read(store.engine) as connection:
        before = state(connection)
    with shops.changed(store, WINDOW, change, seed=1) as connection:
        rows, _ = state(connection)
        assert rows[:50] == before[0][:50]
        assert rows[50:] != before[0][50:]
    with read(store.engine) as connection:
        assert state(connection) == before


def test_the_figures_count_days_and_need_every_shop():
    figures = drift.Figures(quiet={"a": [20, 1], "b": [30, 0]}, costs={"10000": 0.5})
    column = ColumnDrift("price_paid", "trailing", 0.4, 0.1, 0.0, True, 300, 300)
    for shop, verdict in (("a", "drift"), ("b", "stable")):
        figures.tell("price_shock", shop, DriftResult(verdict, "", WINDOW, WINDOW, 1, 1, columns=[column]))
    found = figures.as_json()
    assert (found["quiet_days"], found["false_alarms"]) == (50, 1)
    assert (found["detected"], found["cost_seconds"]) == ({"price_shock": False}, {"10000": 0.5})
    assert "| price shock | a | yes | price_paid 4.0 |" in drift.as_markdown(figures)


def test_a_shop_without_enough_data_has_no_verdict(store):
    assert drift.quick_verdict(store, 100) is None
    assert drift.quiet_days(store, [100]) == [0, 0]
