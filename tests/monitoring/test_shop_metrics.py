"""The further figures of a shop by hand: money, who returns, what was listed, how old it was; and what is compared."""

import numpy as np
import pytest
from sqlalchemy import insert

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.item_fields import ItemRow
from graphstore.session import read, write
from graphstore.tables import EVENT_TYPES, attributions, models, stream_progress
from graphstore.upserts import ImpressionRow, insert_impressions, upsert_items
from monitoring.counts import Counts
from monitoring.shop_metrics import measure, named
from monitoring.shop_report import NoSuchSegments, shop_report, warnings
from monitoring.timeliness import quantile
from monitoring.windows import ALL, TimeWindow

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SPAN = TimeWindow(0, 2 * DAY_MS)
NOW = 10 * DAY_MS


def store(engine, *lists, credits=()):
    """Lists are (request_id, user, time, items), with a slot and a source if need be."""
    rows = []
    for request_id, user, time, items, *more in lists:
        slot, source = more or ("home", "own")
        rows += [
            ImpressionRow(request_id, p, user, item, slot, time, "m1", "a", 1.0, 1.0, source)
            for p, item in enumerate(items)
        ]
    with write(engine) as connection:
        insert_impressions(connection, rows)
        for number, (request_id, position, kind, more) in enumerate(credits):
            row = {"event_id": f"e{number}", "request_id": request_id, "position": position, "event_time": 1}
            connection.execute(insert(attributions), row | {"event_type": EVENT_TYPES.index(kind)} | more)


def figures(engine, segment=ALL, *, by=None, span=SPAN, now=NOW):
    with read(engine) as connection:
        found = measure(connection, span, by=by, now=now).measures[segment]
    return {f"{one.name} {one.unit}": one.rate() for one in found}


def test_an_empty_span_has_figures_of_nothing(engine):
    found = figures(engine)
    assert found["ctr share"].value is None
    assert found["impressions impressions"].value == 0
    assert found["freshness_p50 ms"].value is None
    assert found["lag ms"].value is None


def test_money_stays_apart_by_currency_and_refunds_take_back(engine):
    store(
        engine,
        ("r1", "ann", 1, ["a", "b", "c"]),
        ("r2", "bob", 1, ["a"]),
        credits=[
            ("r1", 0, "purchase", {"revenue": 30.0, "currency": "EUR", "order_id": "o1"}),
            ("r1", 1, "purchase", {"revenue": 10.0, "currency": "EUR", "order_id": "o1"}),
            ("r1", 2, "purchase", {"revenue": 7.0, "order_id": "o1"}),
            ("r2", 0, "purchase", {"revenue": 20.0, "currency": "EUR"}),
            ("r1", 1, "return", {"revenue": -10.0, "currency": "EUR", "order_id": "o1"}),
            ("r1", 0, "click", {"revenue": 99.0}),
            ("r2", 0, "purchase", {}),
        ],
    )
    found = figures(engine)
    assert found["novelty bits"].value is None  # nothing has happened to any item
    assert (found["revenue EUR"].value, found["refunds EUR"].value, found["net_revenue EUR"].value) == (60, 10, 50)
    assert found["revenue no currency"].value == 7.0
    thousand, order_value = found["revenue_a_thousand_impressions EUR"], found["order_value EUR"]
    assert (thousand.value, thousand.n) == (1000 * 50 / 4, 4)
    assert thousand.low < thousand.value < thousand.high
    assert (order_value.value, order_value.n) == (30.0, 2)
    assert found["items_bought_a_shopper items"].value == 2.0
    assert found["orders orders"].value == 3  # one without an id and without a price


def test_who_comes_back_on_the_next_day(sqlite_engine):
    """Ann comes on days 0, 1 and 2, Bob on day 0 in a slot and on day 1 in another, Cyd on day 1 alone."""
    store(
        sqlite_engine,
        *[(f"a{day}", "ann", day * DAY_MS + 5, ["a", "b"]) for day in range(3)],
        ("b0", "bob", 9, ["a"], "cart", "own"),
        ("b1", "bob", DAY_MS, ["a"]),
        ("c1", "cyd", DAY_MS + 1, ["a"]),
    )
    found = figures(sqlite_engine)["return_next_day share"]
    assert (found.value, found.n) == (3 / 5, 5)  # Ann twice, Bob once of twice, Cyd never
    assert figures(sqlite_engine, "slot:cart", by="slot")["return_next_day share"].value == 1.0
    still_open = figures(sqlite_engine, now=2 * DAY_MS + 9)["return_next_day share"]
    assert (still_open.value, still_open.n) == (1.0, 2)  # day 2 is not over


def test_what_was_listed(sqlite_engine):
    items = [
        ItemRow(name, "", [shelf] if shelf else [], "", 1.0, name != "gone", 1)
        for name, shelf in zip(("a", "b", "c", "d", "gone", "bare"), ("x", "x", "y", "x", "y", ""), strict=True)
    ]
    events = [InteractionRow(f"v{n}", 0, f"u{n}", "a" if n < 6 else "b", 5) for n in range(8)]
    with write(sqlite_engine) as connection:
        upsert_items(connection, items)
        ingest_interactions(connection, events, now=5)
    store(
        sqlite_engine,
        ("r1", "ann", 1, ["a", "b", "c", "bare"]),
        ("r2", "bob", 1, ["gone", "a"], "home", "popular"),
    )
    found = figures(sqlite_engine)
    assert (found["coverage share"].value, found["coverage share"].n) == (4 / 5, 5)
    assert found["diversity share"].value == pytest.approx((2 / 3 + 1) / 2)  # of a, b, c: ac and bc; of gone, a: one
    bits = {"a": 0.4150375, "b": 2.0, "c": 3.0, "bare": 3.0, "gone": 3.0}  # 6, 2, 1, 1 and 1 of 8 events
    assert found["novelty bits"].value == pytest.approx(sum(bits[i] for i in ("a", "b", "c", "bare", "gone", "a")) / 6)
    assert (found["fallback_share share"].value, found["fallback_share share"].n) == (2 / 6, 6)
    by_source = figures(sqlite_engine, "source:popular", by="source")
    assert by_source["fallback_share share"].value == 1.0
    assert by_source["diversity share"].value == 1.0


def test_how_old_lists_events_and_the_stream_are(engine):
    model = {"model_version": "m1", "kind": "graphsage", "status": "champion", "snapshot_id": "s", "bundle": "b"}
    with write(engine) as connection:
        connection.execute(insert(models), model | {"created_at": 1000, "promoted_at": 5000})
        progress = {"partition": 0, "next_offset": 1}
        ages = {"interactions": NOW - 700, "seen": NOW - 20, "identities": NOW - 2 * DAY_MS}
        connection.execute(
            insert(stream_progress), [progress | {"topic": t, "updated_at": at} for t, at in ages.items()]
        )
        for late in range(100):
            ingest_interactions(connection, [InteractionRow(f"v{late}", 0, "u", "i", 50)], now=50 + late)
    store(engine, ("r1", "ann", 4000, ["a", "b"]), ("r2", "ann", 9000, ["a"]), ("r3", "ann", 9500, ["a"]))
    found = figures(engine)
    assert (found["list_age_p50 ms"].value, found["list_age_p99 ms"].value) == (4000.0, 4500.0)
    fresh = found["freshness_p50 ms"]
    assert (fresh.value, fresh.low, fresh.high, fresh.n) == (50.0, 40.0, 60.0, 100)
    assert (found["freshness_p99 ms"].value, found["freshness_p99 ms"].high) == (99.0, None)
    assert (found["lag ms"].value, found["lag ms"].n) == (700.0, 2)


def test_the_interval_of_a_quantile_needs_values_on_both_sides():
    assert quantile(np.array([]), 50).value is None
    assert (quantile(np.array([3.0]), 99).low, quantile(np.array([3.0]), 99).high) == (3.0, None)


def served(engine):
    lists = [(f"r{n}", f"u{n}", n * HOUR_MS, ["a", "b"], "home" if n % 2 else "cart, small", "own") for n in range(48)]
    store(engine, *lists, credits=[(f"r{n}", 0, "click", {}) for n in range(24, 48)])


def test_two_spans_and_two_segments_are_compared_with_intervals(sqlite_engine):
    served(sqlite_engine)
    with read(sqlite_engine) as connection:
        day = TimeWindow(DAY_MS, 2 * DAY_MS)
        report = shop_report(connection, day, by="slot", compare="previous", now=NOW)
        lines = {(line.segment, line.metric): line for line in report.differences}
        ctr = lines[ALL, "ctr"]
        assert (ctr.first, ctr.second, ctr.value, ctr.n) == (0.5, 0.0, 0.5, 48)
        assert 0 < ctr.low < 0.5 < ctr.high < 1
        assert {segment for segment, _ in lines} == {ALL, "slot:home", "slot:cart, small"}
        assert not {"impressions", "coverage"} & {metric for _, metric in lines}
        two = shop_report(connection, day, by="slot", compare="cart, small,home", now=NOW)
        (ctr,) = (line for line in two.differences if line.metric == "ctr")
        assert (ctr.segment, ctr.value) == ("slot:cart, small minus slot:home", 0.0)
        assert ctr.low < 0 < ctr.high
        for compare, by in (("home,hone", "slot"), ("home", "slot"), ("home,cart", None)):
            with pytest.raises(NoSuchSegments):
                shop_report(connection, day, by=by, compare=compare, now=NOW)


def test_what_makes_rates_wrong_is_told():
    assert not list(warnings(Counts()))
    assert not list(warnings(Counts(lists=2, impressions=2, shown_by_event=1, revenue={"": 1.0})))
    (fetched,) = warnings(Counts(fetched=3))
    assert fetched.startswith("3 lists were fetched and none was shown")
    (proved,) = warnings(Counts(lists=3, impressions=9, shown_by_event=2))
    assert "2 of 3 shown lists were proved only by a click" in proved
    robots, currency = warnings(Counts(lists=1, impressions=1, robot_impressions=2, revenue={"": 1.0, "EUR": 1.0}))
    assert "robots saw 2 items, people 1" in robots
    assert "no currency" in currency


def test_a_figure_that_is_not_there():
    with pytest.raises(KeyError):
        named([], "ctr")
