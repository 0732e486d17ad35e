"""Counts by hand: what was shown, fetched, clicked, bought and taken back; who is a robot; windows and segments."""

import json

import pytest
from sqlalchemy import insert

from graphstore.identities import IdentityRow, ingest_identities
from graphstore.session import read, write
from graphstore.tables import EVENT_TYPES, attributions, models
from graphstore.upserts import ImpressionRow, SeenRow, insert_impressions, insert_seen
from monitoring.counts import Counts, count, recount
from monitoring.robots import MOST_LISTS_OF_A_CLIENT, MOST_LISTS_OF_A_SHOPPER
from monitoring.segments import SEGMENT_KINDS
from monitoring.windows import ALL, TimeWindow, read_figures, write_figures

HOUR_MS = 3_600_000


class Log:
    """Writes the rows that attribution leaves, without attribution."""

    def __init__(self, engine):
        self.engine = engine
        self._events = 0

    def serve(self, request_id, items=1, *, user="ann", time=0, slot="home", **row):
        rows = [
            ImpressionRow(request_id, p, user, f"i{p}", slot, time, "m1", "champion", 1.0, 1.0, "model", **row)
            for p in range(items)
        ]
        with write(self.engine) as connection:
            insert_impressions(connection, rows)

    def credit(self, request_id, position, kind, *, matched_by="request", time=1, **row):
        self._events += 1
        found = {
            "event_id": f"e{self._events}",
            "request_id": request_id,
            "position": position,
            "event_type": EVENT_TYPES.index(kind),
            "event_time": time,
            "list_time": 0,
            "matched_by": matched_by,
        }
        with write(self.engine) as connection:
            connection.execute(insert(attributions), found | row)

    def see(self, request_id, *positions, user="ann"):
        with write(self.engine) as connection:
            insert_seen(connection, [SeenRow(request_id, p, user, 1) for p in positions])

    def count(self, start=0, end=HOUR_MS, segments=SEGMENT_KINDS):
        with read(self.engine) as connection:
            return count(connection, TimeWindow(start, end), segments=segments)


@pytest.fixture
def log(engine):
    return Log(engine)


@pytest.fixture
def sqlite_log(sqlite_engine):
    return Log(sqlite_engine)


def test_an_empty_span_has_counts_of_nothing(log):
    assert log.count() == {ALL: Counts()}
    assert log.count()[ALL].ctr().value is None


def test_what_happens_on_a_list_is_counted_once_each(log):
    log.serve("r1", 4)
    log.serve("r2", 2, user="bob")
    for kind in ("click", "click", "cart"):
        log.credit("r1", 0, kind)
    log.credit("r1", 1, "purchase", order_id="o1", revenue=0.1, currency="EUR")
    log.credit("r1", 2, "purchase", order_id="o1", revenue=0.2, currency="EUR")
    log.credit("r2", 0, "purchase", revenue=5.0)
    log.credit("r1", 1, "return", order_id="o1", revenue=-0.1, currency="EUR")
    log.credit("r1", 3, "view")
    found = log.count()[ALL]
    assert found == Counts(
        lists=2,
        impressions=6,
        viewers=2,
        clicks=4,
        carts=1,
        purchases=3,
        orders=2,
        revenue={"": 5.0, "EUR": pytest.approx(0.3)},
        refunds={"EUR": 0.1},
        cluster={"n": 2, "xx": 20, "yy": 10, "xy": 14, "cc": 1, "xc": 4, "pp": 5, "xp": 10},
    )
    assert (found.ctr().value, found.ctr().n) == (4 / 6, 6)
    assert (found.cart_rate().value, found.conversion().value) == (1 / 6, 0.5)


def test_a_list_that_nobody_confirmed_or_saw_was_merely_fetched(log):
    log.serve("fetched", 3, confirmed=False)
    log.serve("confirmed", 2)
    log.serve("seen", 3, confirmed=False)
    log.see("seen", 1)
    log.see("of no list", 1)
    log.serve("proved", 5, confirmed=False)
    log.credit("proved", 2, "click")
    log.serve("guessed", 5, confirmed=False)
    log.credit("guessed", 2, "click", matched_by="item")
    found = log.count()
    whole = found[ALL]
    assert (whole.lists, whole.fetched, whole.shown_by_event) == (3, 2, 1)
    assert (whole.impressions, whole.clicks) == (2 + 1 + 3, 1)
    assert (found["position:4"].lists, found["position:4"].fetched) == (0, 2)
    assert (found["position:1"].lists, found["position:1"].shown_by_event) == (3, 1)


def test_robots_are_counted_apart(log):
    log.serve("person")
    log.credit("person", 0, "click")
    log.serve("agent", 2, user="crawler", robot=True)
    log.credit("agent", 0, "click")
    found = log.count()[ALL]
    assert (found.lists, found.impressions, found.clicks, found.viewers) == (1, 1, 1, 1)
    assert (found.robot_impressions, found.robot_clicks) == (2, 1)


@pytest.mark.parametrize(("lists", "robots"), [(MOST_LISTS_OF_A_SHOPPER, 0), (MOST_LISTS_OF_A_SHOPPER + 1, 1)])
def test_a_shopper_who_reads_faster_than_people_is_a_robot_in_that_hour(sqlite_log, lists, robots):
    """A session that logged in counts for its person. Half of the hour decides like the whole one."""
    for number in range(lists):
        sqlite_log.serve(f"r{number}", user="ann" if number % 2 else "session", time=number)
    sqlite_log.serve("later", time=HOUR_MS)
    with write(sqlite_log.engine) as connection:
        ingest_identities(connection, [IdentityRow("session", "ann", 1)])
    assert sqlite_log.count()[ALL].robot_impressions == robots * lists
    assert sqlite_log.count(0, 10)[ALL].robot_impressions == robots * 10
    assert sqlite_log.count(HOUR_MS, 2 * HOUR_MS)[ALL].impressions == 1
    assert sqlite_log.count(0, 2 * HOUR_MS)[ALL].viewers == 1


@pytest.mark.parametrize(("client", "robots"), [("", 0), ("c1", 1)])
def test_an_address_that_reads_faster_than_a_family_is_a_robot(sqlite_log, client, robots):
    lists = MOST_LISTS_OF_A_CLIENT + 1
    rows = [
        ImpressionRow(f"r{n}", 0, f"u{n}", "i", "home", n, "m1", "a", 1.0, 1.0, "model", client=client)
        for n in range(lists)
    ]
    with write(sqlite_log.engine) as connection:
        insert_impressions(connection, rows)
    assert sqlite_log.count()[ALL].robot_impressions == robots * lists


def test_segments_are_those_that_were_asked_for(log):
    log.serve("r1", 22)
    log.serve("r2", slot="cart", time=HOUR_MS)
    with write(log.engine) as connection:
        made = {"model_version": "m1", "kind": "graphsage", "status": "champion", "snapshot_id": "s", "bundle": "b"}
        connection.execute(insert(models), made | {"created_at": 1})
    found = log.count(0, 2 * HOUR_MS)
    assert "position:20" in found
    assert "position:21" not in found
    assert found["kind:graphsage"] == found[ALL] == found["model:m1"] == found["variant:champion"]
    assert (found["slot:home"].impressions, found["slot:cart"].impressions) == (22, 1)
    by_time = log.count(0, 2 * HOUR_MS, segments=["day", "hour"])
    assert {name: counts.impressions for name, counts in by_time.items()} == {
        ALL: 23, "day:1970-01-01": 23, "hour:1970-01-01T00": 22, "hour:1970-01-01T01": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match="not divided by colour"):
        log.count(segments=["colour"])


def test_a_recount_of_windows_is_the_count_of_each(log):
    """Hours, the day that holds them, an empty window, and one that neither begins nor ends with an hour."""
    for number in range(60):
        log.serve(f"r{number}", 3, user=f"u{number % 7}", time=number * HOUR_MS // 2)
        log.credit(f"r{number}", number % 3, "purchase", revenue=0.1 * number)
    hours = [TimeWindow(h * HOUR_MS, (h + 1) * HOUR_MS) for h in (0, 1, 40)]
    windows = [*hours, TimeWindow(0, 24 * HOUR_MS), TimeWindow(5, 3 * HOUR_MS + 7), TimeWindow(HOUR_MS, 26 * HOUR_MS)]
    with read(log.engine) as connection:
        figures = recount(connection, windows)
        for window in windows:
            counted = {f.segment: Counts.of_detail(f.detail) for f in figures if f.window == window}
            assert counted == count(connection, window)
    with write(log.engine) as connection:
        write_figures(connection, figures)
    with read(log.engine) as connection:
        stored = read_figures(connection, "ctr", segment=None, limit=10_000)
    assert {(f.segment, f.window): json.dumps(f.detail) for f in stored} == {
        (f.segment, f.window): json.dumps(json.loads(json.dumps(f.detail, sort_keys=True))) for f in figures
    }
    assert recount(connection, []) == []
