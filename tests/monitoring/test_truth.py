"""Truth: a log whose figures are known gives them back, and nothing that is no shopper moves them."""

import random
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import open_engine, read, write
from graphstore.tables import EVENT_TYPES
from graphstore.upserts import ImpressionRow, insert_impressions, upsert_items
from monitoring.attribution import attribute
from monitoring.counts import count
from monitoring.robots import MOST_LISTS_OF_A_SHOPPER
from monitoring.shop_metrics import measure, named
from monitoring.windows import ALL, TimeWindow
from tests.databases import migrated_sqlite
from tests.monitoring.made_log import DAY_MS, HOUR_MS, LENGTH, START, MadeLog, catalogue, make_log

SPAN = TimeWindow(START, START + 2 * DAY_MS)
NOW = START + 300 * DAY_MS


@dataclass
class Told:
    """A stored log, and what it should give."""

    engine: Engine
    log: MadeLog

    def store(self, impressions=(), events=()):
        with write(self.engine) as connection:
            insert_impressions(connection, list(impressions))
            ingest_interactions(connection, list(events), now=NOW)
        attribute(self.engine)

    def counts(self):
        with read(self.engine) as connection:
            return count(connection, SPAN)[ALL]

    def measures(self):
        with read(self.engine) as connection:
            return measure(connection, SPAN, by="slot", now=NOW).measures


def check(told):
    found, log = told.counts(), told.log
    assert (found.lists, found.fetched, found.shown_by_event) == (log.lists, 0, 0)
    assert (found.impressions, found.viewers) == (len(log.impressions), len(log.viewers))
    assert (found.clicks, found.carts, found.purchases) == (log.clicks, log.carts, log.purchases)
    assert found.revenue == {"EUR": pytest.approx(log.revenue, abs=1e-6)}
    assert found.ctr().value == log.clicks / len(log.impressions)
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The log, stored in pieces that arrive late and in any order, many of them twice."""
    engine = open_engine(migrated_sqlite(tmp_path_factory.mktemp("truth") / "graph.db"))
    made = Told(engine, make_log(1, lists=1500))
    with write(engine) as connection:
        upsert_items(connection, catalogue())
    events, impressions = list(made.log.events), list(made.log.impressions)
    events += random.Random(1).sample(events, len(events) // 3)
    random.Random(2).shuffle(events)
    half = len(events) // 2
    made.store(events=events[:half])
    made.store(impressions, events[half:])
    made.store(impressions[: len(impressions) // 2], events[: half // 2])
    yield made
    engine.dispose()


def test_duplicates_and_late_events_leave_the_known_figures(told):
    found = check(told)
    expected = told.log.liked / len(told.log.impressions)
    rate = found.ctr()
    assert rate.low <= expected <= rate.high
    assert rate.high - rate.low < 0.02


def test_every_figure_is_that_of_the_log(told):
    everything, log = told.measures()[ALL], told.log
    value = {(found.name, found.unit): found.rate() for found in everything}
    shown = len(log.impressions)
    assert value["ctr", "share"].value == log.clicks / shown
    assert value["add_to_cart", "share"].value == log.carts / shown
    assert value["conversion", "share"].value == log.purchases / shown
    assert value["revenue", "EUR"].value == pytest.approx(log.revenue)
    assert value["revenue_a_thousand_impressions", "EUR"].value == pytest.approx(1000 * log.revenue / shown)
    orders = len({event.order_id for event in log.events if event.order_id})
    assert value["order_value", "EUR"].value == pytest.approx(log.revenue / orders)
    assert value["order_value", "EUR"].n == orders == value["orders", "orders"].value
    assert value["items_shown_a_shopper", "items"].value == shown / len(log.viewers)
    days = {(row.user_id, row.event_time // DAY_MS) for row in log.impressions}
    back = sum((user, day + 1) in days for user, day in days)
    assert (value["return_next_day", "share"].value, value["return_next_day", "share"].n) == (
        back / len(days),
        len(days),
    )
    assert value["coverage", "share"].value == len({row.item_id for row in log.impressions}) / len(catalogue())
    assert value["fallback_share", "share"].value == 0.0
    assert all(rate.n for rate in value.values() if rate.value)


def test_position_bias_is_taken_out(told):
    """The clicks of those who look; the plain rate is a third too low, because late positions are seldom looked at."""
    truth = told.log.liked / told.log.looked
    found = named(told.measures()[ALL], "position_debiased_ctr_click_model").rate()
    assert found.value == pytest.approx(truth, rel=0.12)
    assert told.counts().ctr().value < 0.8 * truth


def test_segments_add_up_to_the_whole(told):
    measures = told.measures()
    for name in ("impressions", "clicks", "purchases", "net_revenue"):
        parts = [named(measures[f"slot:{slot}"], name).rate().value for slot in ("home", "product")]
        assert sum(parts) == pytest.approx(named(measures[ALL], name).rate().value)


def test_one_bot_and_anonymous_reads_move_no_rate(told):
    """A bot that clicks all it gets, a crawler that says so, and 150 reads through the API that no page showed."""
    before = check(told)
    click = EVENT_TYPES.index("click")
    impressions, events = [], []
    for number in range(MOST_LISTS_OF_A_SHOPPER + 30):
        for name, kind in (("bot", {}), ("crawler", {"robot": True}), (f"reader{number}", {"confirmed": False})):
            request_id = f"{name}-{number}"
            row = (request_id, 0, name, "i1", "home", START + HOUR_MS + number, "m1", "champion", 1.0, 1.0, "own")
            impressions.append(ImpressionRow(*row, **kind))
            if not name.startswith("reader"):
                time = START + HOUR_MS + number + 1
                events.append(InteractionRow(f"e-{request_id}", click, name, "i1", time, request_id=request_id))
    told.store(impressions, events)
    found = told.counts()
    assert (found.ctr(), found.conversion(), found.revenue) == (before.ctr(), before.conversion(), before.revenue)
    assert (found.robot_impressions, found.robot_clicks) == (len(events), len(events))
    assert found.fetched == MOST_LISTS_OF_A_SHOPPER + 30
    with_robots = named(told.measures()[ALL], "ctr_with_robots").rate()
    assert with_robots.value == (before.clicks + len(events)) / (before.impressions + len(events))


def test_what_is_nobodys_click_moves_no_rate(told):
    """Another shopper's click, a click before the list, a purchase after 200 days, a click on what the list lacks."""
    before = told.counts()
    first = told.log.impressions[0]
    by, click, purchase = first.request_id, EVENT_TYPES.index("click"), EVENT_TYPES.index("purchase")
    missing = f"i{({*range(40)} - {int(row.item_id[1:]) for row in told.log.impressions[:LENGTH]}).pop()}"
    false = [
        InteractionRow("f1", click, "stranger", first.item_id, first.event_time + 1, request_id=by),
        InteractionRow("f2", click, first.user_id, first.item_id, first.event_time - DAY_MS, request_id=by),
        InteractionRow("f3", purchase, first.user_id, first.item_id, START + 200 * DAY_MS, 9.0, request_id=by),
        InteractionRow("f4", click, "stranger", missing, first.event_time + 1, request_id=by),
    ]
    told.store(events=false)
    assert told.counts() == before
