"""Pages of stored figures: overview, traffic, funnel, slots, on both databases, with data and without."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import read, write
from monitoring.dashboard import funnel, overview, slots, traffic
from monitoring.dashboard.problems import find_problems
from monitoring.dashboard.series import DAY, HOUR
from monitoring.dashboard.surroundings import Surroundings
from serving.dashboard.blocks import Chart, Funnel, Page, Rows, Tiles
from stream.readiness import Readiness
from tests.monitoring.dashboard.conftest import NOON, Store, block, chart, counts, table, tiles


def overview_of(store: Store, problems: list[str] | None = None) -> Page:
    with read(store.engine) as connection:
        return overview.compose(connection, problems or [], now=NOON)


def promotion(at: int, action: str = "promote", version: str = "m2") -> dict[str, object]:
    return {"at": at, "action": action, "to_version": version, "who": "me", "why": "better"}


@pytest.mark.parametrize(
    "compose", [traffic.compose, funnel.compose, slots.compose, lambda c, now: overview.compose(c, [], now=now)]
)
def test_without_data_nothing_is_zero_and_every_block_says_why(store: Store, compose: Callable[..., Page]) -> None:
    with read(store.engine) as connection:
        page = compose(connection, now=NOON)
    assert page.blocks and page.made_at == NOON
    for one in page.blocks:
        if isinstance(one, Chart):
            assert all(not line.points for line in one.lines)
            assert one.note
        if isinstance(one, Rows):
            assert one.rows == [] and one.empty
        if isinstance(one, Funnel):
            assert one.note.startswith("No served list")
        if isinstance(one, Tiles):
            for tile in one.tiles:
                assert tile.value in (None, 0.0) and (tile.note or tile.value == 0.0), tile
                assert tile.unit == "count" or tile.value is None


def test_today_at_a_glance(store: Store) -> None:
    store.day(
        0, counts(1_000, 100, orders=10, revenue={"EUR": 250.0, "": 5.0}, refunds={"EUR": 20.0}, robot_impressions=7)
    )
    for ago in range(1, 12):
        store.hour(ago, counts(80, 8))
    for ago in range(25, 36):
        store.hour(ago, counts(80, 4, revenue={"EUR": 3.0}))
    store.put("models", {"model_version": "m2", "kind": "graphsage", "status": "champion", "snapshot_id": "s",
                         "bundle": "b", "created_at": NOON - 3 * HOUR, "promoted_at": NOON - 2 * HOUR})  # fmt: skip
    store.put("alarms", {"name": "tracking_outage", "started_at": NOON - 5, "text": "no clicks"})
    with write(store.engine) as connection:
        rows = [InteractionRow(f"e{n}", 0, "u", "i", NOON - 9_000 - n) for n in range(100)]
        ingest_interactions(connection, rows, now=NOON - 5_000)
    page = overview_of(store, ["the worker is away"])
    assert page.warnings == ["the worker is away"]
    today = tiles(page, "Today")
    rate = today["Click-through"]
    assert (rate.value, rate.n, rate.n_of, rate.window) == (0.1, 1_000, "impressions", "2023-11-14 00:00 to 12:00 UTC")
    assert rate.low is not None and rate.high is not None and rate.low < 0.1 < rate.high
    assert rate.change.startswith("+5.00 points from the same hours of yesterday (95 %: +")
    assert today["Conversion"].value == 0.01
    assert today["Impressions"].n == 1_000 and "robots had 7 more" in today["Impressions"].note
    glance = block(page, "Today")
    assert isinstance(glance, Tiles)
    revenue = [tile for tile in glance.tiles if tile.label == "Revenue"]
    assert [(tile.currency, tile.value, tile.n) for tile in revenue] == [("EUR", 250.0, 10), ("", 5.0, 10)]
    assert "20.00 of earlier purchases" in revenue[0].note and revenue[0].change == "yesterday until 12:00: 33.00 EUR"
    recent = tiles(page, "Last 24 hours")["Click-through"]
    assert (recent.value, recent.n) == (0.1, 880)
    loop = tiles(page, "The loop")
    assert loop["Champion"].value == "m2" and "2 hours" in loop["Champion"].note
    fresh = loop["From event to graph (median)"]
    assert fresh.value == pytest.approx(4.05, abs=0.01) and fresh.n == 100 and fresh.state == "ok"
    assert loop["Alarms that last"].state == "bad"
    hours = chart(page, "Click-through in the last 48 hours")
    assert [mark.kind for mark in hours.marks] == ["alarm"]
    gaps = [point for point in hours.lines[0].points if point.value is None]
    assert len(gaps) == 1 and len(hours.lines[0].points) == 11 + 11 + 1


def test_today_takes_its_hours_while_the_day_is_not_counted_yet(sqlite_store: Store) -> None:
    sqlite_store.day(0, counts(100, 10))
    sqlite_store.hour(1, counts(400, 20))
    sqlite_store.hour(13, counts(900, 90))  # yesterday
    assert tiles(overview_of(sqlite_store), "Today")["Impressions"].value == 400
    sqlite_store.day(0, counts(420, 21))
    assert tiles(overview_of(sqlite_store), "Today")["Impressions"].value == 420


def test_a_rate_that_events_alone_prove_is_told(sqlite_store: Store) -> None:
    sqlite_store.day(0, counts(100, 60, shown_by_event=70))
    today = block(overview_of(sqlite_store), "Today")
    assert today.note.startswith("70 of 100 lists are known as shown only because")


def test_traffic_has_a_thousand_days_with_marks_and_gaps(store: Store) -> None:
    for ago in (1_100, 999, 998, 500, 0):
        store.day(ago, counts(1_000, 100, orders=3, revenue={"EUR": 10.0}))
    store.hour(2, counts(30, 3))
    store.put("promotions", promotion(NOON - 2 * HOUR), promotion(NOON - HOUR, "rollback", "m1"), promotion(5))
    arms = '[{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5}]'
    store.put("experiments", {"name": "wide", "salt": "s", "arms": arms, "status": "stopped", "who": "me", "why": "",
                              "started_at": NOON - 3 * DAY, "stopped_at": NOON - DAY})  # fmt: skip
    store.put("retrain_requests", {"reason": "fell", "requested_by": "monitoring", "requested_at": NOON - 1})
    with read(store.engine) as connection:
        page = traffic.compose(connection, now=NOON)
    days = chart(page, "Click-through by day")
    values = [point.value for point in days.lines[0].points]
    assert values == [0.1, 0.1, None, 0.1, None, 0.1]
    assert days.lines[0].points[0].n == 1_000 and days.lines[0].points[0].low is not None
    assert (days.n, days.n_of, days.unit) == (4_000, "impressions", "share")
    assert days.window == "2021-02-18 00:00 to 2023-11-14 12:00 UTC"
    assert [(mark.kind, mark.label) for mark in days.marks] == [
        ("experiment", "wide starts"),
        ("experiment", "wide ends"),
        ("promotion", "promote m2"),
        ("rollback", "rollback m1"),
    ]
    hours = chart(page, "Click-through by hour")
    assert [mark.kind for mark in hours.marks] == ["promotion", "rollback", "retrain"]
    money = chart(page, "Revenue by day")
    assert (money.currency, money.n, money.n_of) == ("EUR", 12, "orders")
    assert [point.value for point in money.lines[0].points if point.value] == [10.0] * 4


def test_the_funnel_narrows(store: Store) -> None:
    store.day(0, counts(100, 20, orders=5, lists=50, fetched=30))
    store.day(6, counts(100, 10, orders=1))
    store.day(20, counts(100, 10, carts=0, purchases=2))
    store.day(0, counts(60, 20), "slot:home")
    with read(store.engine) as connection:
        page = funnel.compose(connection, now=NOON)
    found = {one.title: [step.count for step in one.steps] for one in page.blocks if isinstance(one, Funnel)}
    assert found["Today: lists"] == [80, 50]
    assert found["Today: items"] == [100, 20, 5, 5]
    assert found["Last 7 days: items"] == [200, 30, 6, 6]
    assert found["Last 28 days: items"] == [300, 40, 8], "fewer carts than purchases: no step"
    ((slot, shown, rate, *_),) = table(page, "By slot")
    assert (slot, shown, rate) == ("home", 60, 20 / 60)


def test_slots_and_positions(store: Store) -> None:
    store.day(0, counts(100, 20, orders=5))
    store.day(0, counts(60, 20, revenue={"EUR": 1200.5}, refunds={"EUR": 3.0}), "slot:home")
    store.day(0, counts(40), "slot:cart")
    for position in (0, 1, 2, 10):
        store.day(0, counts(50 - position, 10 - min(position, 9)), f"position:{position}")
    store.day(0, counts(100, 20), "source:model")
    store.day(0, counts(100, 20), "kind:graphsage")
    with read(store.engine) as connection:
        page = slots.compose(connection, now=NOON)
    positions = chart(page, "Click-through by position")
    assert positions.labels == ["0", "1", "2", "10"] and positions.form == "bars"
    assert [point.n for point in positions.lines[0].points] == [50, 49, 48, 40]
    home, cart = table(page, "Slots")
    assert home[:4] == ["home", 60, 60, 0.6] and home[-2] == "1,200.50 EUR (taken back: 3.00)"
    assert cart[4] == 0.0 and cart[-2] is None
    assert table(page, "Sources of the items")[0][0] == "model"
    assert table(page, "Kinds of models")[0][0] == "graphsage"


def problems_of(store: Store, surroundings: Surroundings | None = None) -> list[str]:
    def found(connection: Connection) -> list[str]:
        return find_problems(connection, surroundings or Surroundings(), [], now=NOON)

    with read(store.engine) as connection:
        return found(connection)


def test_what_is_wrong_now_is_told_worst_first(store: Store) -> None:
    assert problems_of(store) == []
    store.put("alarms", {"name": "tracking_outage", "started_at": NOON - DAY, "text": "no clicks"})
    store.put("alarms", {"name": "old", "started_at": 1, "ended_at": 2, "text": "over"})
    for n in range(3):
        store.put("training_runs", {"run_id": f"r{n}", "kind": "graphsage", "trigger": "time", "status": "failed",
                                    "started_at": n, "error": f"no memory {n}"})  # fmt: skip
    store.put("promotions", promotion(NOON - DAY) | {"outcome": "harm", "ended_at": NOON - HOUR})
    with write(store.engine) as connection:
        ingest_interactions(connection, [InteractionRow("e", 0, "u", "i", 5)], now=NOON - 3 * HOUR)
    several = tuple(Readiness(name, "127.0.0.1", 1, "away") for name in ("worker", "serve", "monitor"))
    assert problems_of(store, Surroundings(looked_at=NOON, processes=several))[1] == (
        "3 processes are away: worker (port 1), serve (port 1), monitor (port 1)"
    )
    processes = (Readiness("worker", "127.0.0.1", 6066, "not ready", said="kafka: away"),
                 Readiness("serve", "web", 80, "away", said="nobody answers"))  # fmt: skip
    assert problems_of(store, Surroundings(looked_at=NOON, processes=processes)) == [
        "Alarm tracking_outage since 2023-11-13 12:00 UTC: no clicks",
        "serve (web:80) is away: nobody answers",
        "worker (port 6066) is not ready: kafka: away",
        "The last 3 training runs failed, the newest with: no memory 2",
        "m2 did harm and was taken back at 2023-11-14 11:00 UTC.",
        "No event was stored for 3 hours.",
    ]
