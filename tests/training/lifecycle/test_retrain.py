"""When a run is due, which kind, and what a request waits for."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, Engine, insert

from graphstore.session import write
from graphstore.snapshots.eventlog import Seen, snapshot_id
from graphstore.tables import interactions, snapshots
from tests.training.lifecycle.test_registry import model
from training.config import TrainingConfig
from training.lifecycle import registry, requests, retrain
from training.lifecycle.retrain import Plan

CONFIG = TrainingConfig(
    retrain_min_events=10,
    scheduler_tick_seconds=10,
    retrain_full_seconds=1_000_000,
    gate_min_users=2,
    champion_max_age_seconds=1e9,
)
NOW = 1_700_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
FULL = 1_000_000 * 1000


@pytest.fixture
def connection(sqlite_engine: Engine):
    with write(sqlite_engine) as opened:
        yield opened


def happen(connection: Connection, count: int, *, at: int = NOW, users: int = 10) -> int:
    """Events of so many shoppers, one after the other, from a time on. Return the last key."""
    before = len(connection.execute(interactions.select()).all())
    rows = [
        {"event_id": f"e{before + n}", "event_type": 0, "user_key": n % users, "item_key": 1, "event_time": at + n}
        for n in range(count)
    ]
    connection.execute(insert(interactions), [row | {"ingest_time": NOW} for row in rows])
    return before + count


def ran(connection: Connection, kind: str, status: str, *, at: int, saw: int = 0) -> str:
    """A run that took a second and saw so many interactions."""
    run_id = registry.next_run_id(connection, now=at)
    registry.start_run(connection, run_id, kind=kind, trigger="test", now=at)
    if status in (registry.FAILED, registry.POSTPONED):
        registry.finish_run(connection, run_id, status=status, now=at + 1_000, error="broken")
        return run_id
    counts = {"users": 1, "items": 1, "interactions": saw, "path": ""}
    row = {"snapshot_id": run_id, "as_of": 1, "last_interaction_key": saw, "created_at": 1}
    connection.execute(insert(snapshots).values(row | counts))
    registry.finish_run(connection, run_id, status=status, now=at + 1_000, snapshot_id=run_id)
    return run_id


def reign(connection: Connection, *, until: int = NOW, saw: int = 0, kind: str = "graphsage") -> None:
    """A champion that has learned the events before a time among so many rows."""
    name = snapshot_id(Seen(until, saw))
    registry.register(connection, replace(model("m", created_at=until), snapshot_id=name, kind=kind))
    registry.promote(connection, "m", now=until)


def ask(connection: Connection, reason: str = "drift", *, full: bool = False) -> None:
    registry.request_retrain(connection, reason=reason, requested_by="monitoring", now=NOW, full=full)


def due(connection: Connection, *, now: int = NOW, **settings: object) -> tuple[str, str] | None:
    found = retrain.plan(connection, CONFIG.model_copy(update=settings), now=now)
    return None if found.kind is None else (found.kind, found.reason)


def waits(connection: Connection, *, now: int = NOW, **settings: object) -> str:
    found = retrain.plan(connection, CONFIG.model_copy(update=settings), now=now)
    assert found.kind is None
    return found.reason


def test_enough_events(connection):
    happen(connection, 9)
    assert retrain.plan(connection, CONFIG, now=NOW) == Plan(None, "")
    happen(connection, 1)
    assert due(connection) == ("closed_form", "10 new events")


def test_a_request_needs_any_new_event(connection):
    ask(connection)
    assert due(connection) is None
    happen(connection, 1)
    assert due(connection) == ("closed_form", "monitoring: drift")


def test_a_full_request_needs_a_champion_and_no_event(connection):
    ask(connection, "other settings", full=True)
    assert due(connection) is None
    reign(connection)
    ran(connection, "graphsage", registry.KEPT, at=NOW)
    assert due(connection) == ("graphsage", "monitoring: other settings")


def test_which_kind(connection):
    happen(connection, 10, at=NOW - 100)
    reign(connection)
    assert due(connection) == ("graphsage", "10 new events")
    ran(connection, "graphsage", registry.KEPT, at=NOW, saw=10)
    assert due(connection, now=NOW + 2_000) is None  # all seen, although nothing was promoted
    happen(connection, 10)
    assert due(connection, now=NOW + 2_000) == ("incremental", "10 new events")
    assert due(connection, now=NOW + FULL) == ("graphsage", "10 new events")


def test_while_closed_form_serves_it_is_trained_in_turn_with_its_challenger(connection):
    ran(connection, "closed_form", registry.PROMOTED, at=NOW - FULL)
    reign(connection, kind="closed_form")
    for number, kind in enumerate(["graphsage", "closed_form", "graphsage", "closed_form"]):
        happen(connection, 10)
        now = NOW + number * FULL
        assert due(connection, now=now) == (kind, f"{10 * (number + 1)} new events")
        ran(connection, kind, registry.KEPT, at=now)
        asked = due(connection, now=now + 2_000)
        assert asked is not None
        assert asked[0] == "incremental"


def test_the_last_full_run_is_remembered_beyond_a_hundred_updates(connection):
    reign(connection)
    happen(connection, 300)
    ran(connection, "graphsage", registry.KEPT, at=NOW)
    for place in range(150):
        ran(connection, "incremental", registry.KEPT, at=NOW + 2_000 * (place + 1), saw=place)
    assert due(connection, now=NOW + 400_000) == ("incremental", "151 new events")
    assert due(connection, now=NOW + FULL) == ("graphsage", "151 new events")


def test_failures_wait_longer_and_longer(connection):
    happen(connection, 10)
    ran(connection, "closed_form", registry.FAILED, at=NOW)
    assert "tried again in 1 s" in waits(connection, now=NOW + 20_000)
    assert due(connection, now=NOW + 21_000) is not None
    ran(connection, "closed_form", registry.POSTPONED, at=NOW + 21_000)
    assert due(connection, now=NOW + 61_000) is None
    assert due(connection, now=NOW + 62_000) is not None
    for place in range(2, 30):
        ran(connection, "closed_form", registry.FAILED, at=NOW + place * 100_000)
    hour_later = NOW + 29 * 100_000 + 1_000 + HOUR
    assert due(connection, now=hour_later - 1) is None
    assert due(connection, now=hour_later) is not None


def test_a_long_run_that_was_killed_once_is_tried_again_soon(connection):
    happen(connection, 10)
    registry.start_run(connection, "r1", kind="closed_form", trigger="", now=NOW)
    registry.finish_run(connection, "r1", status=registry.FAILED, now=NOW + HOUR)
    assert due(connection, now=NOW + HOUR + 19_999) is None
    assert due(connection, now=NOW + HOUR + 20_000) == ("closed_form", "10 new events")


def test_failed_full_runs_wait_while_updates_go_on(connection):
    reign(connection)
    happen(connection, 30)
    for place in range(4):
        ran(connection, "graphsage", registry.FAILED, at=NOW + place * 1_000)
    failed = NOW + 4_000
    assert due(connection, now=failed + 159_000) == ("incremental", "30 new events")
    assert due(connection, now=failed + 160_000) == ("graphsage", "30 new events")
    ask(connection, "all of it", full=True)
    assert due(connection, now=failed + 159_000) == ("incremental", "30 new events")
    # A run that fails after hours is not tried again as soon as one that fails at once.
    run_id = registry.next_run_id(connection, now=NOW + DAY)
    registry.start_run(connection, run_id, kind="graphsage", trigger="", now=NOW + DAY)
    registry.finish_run(connection, run_id, status=registry.FAILED, now=NOW + DAY + 3 * HOUR)
    late = {"now": NOW + DAY + 8 * HOUR}
    assert due(connection, **late) == ("incremental", "30 new events")
    assert due(connection, now=NOW + DAY + 3 * HOUR + FULL) == ("graphsage", "monitoring: all of it; 30 new events")


def test_a_request_waits_until_enough_shoppers_can_judge(connection):
    """It does not fail before, however long that takes."""
    key = happen(connection, 50, at=NOW - 100)
    reign(connection, until=NOW, saw=key)
    ran(connection, "graphsage", registry.KEPT, at=NOW, saw=key)
    ask(connection)
    happen(connection, 12, at=NOW, users=1)
    assert waits(connection) == "incremental (monitoring: drift): 1 of 2 shoppers can judge it"
    happen(connection, 6, at=NOW + 100, users=2)
    assert due(connection) == ("incremental", "monitoring: drift")


def test_an_imported_history_judges_nothing(connection):
    """It is learned with the next update, which begins when newer events can judge it."""
    key = happen(connection, 50, at=NOW - 100)
    reign(connection, until=NOW, saw=key)
    ran(connection, "graphsage", registry.KEPT, at=NOW, saw=key)
    happen(connection, 5_000, at=NOW - DAY)
    assert "0 of 2 shoppers can judge it" in waits(connection)
    happen(connection, 6, at=NOW)
    assert due(connection) == ("incremental", "5006 new events")


def test_an_interval_is_a_trigger(connection):
    reign(connection)
    ran(connection, "graphsage", registry.KEPT, at=NOW)
    interval = {"retrain_interval_seconds": 600.0}
    assert due(connection, now=NOW + DAY, **interval) is None  # nothing is new
    happen(connection, 6)
    assert due(connection, now=NOW + 599_999, **interval) is None
    assert due(connection, now=NOW + 600_000, **interval) == ("incremental", "600 s since the last run")
    assert due(connection, now=NOW + 600_000) is None


def at(hour: int, *, day: int = 14) -> int:
    return int(datetime(2023, 11, day, hour, 30, tzinfo=UTC).timestamp() * 1000)


def test_a_nightly_hour_is_a_trigger(connection):
    nightly = {"retrain_hour": 3, "retrain_full_seconds": 86_400.0}
    reign(connection, until=at(0))
    ran(connection, "graphsage", registry.KEPT, at=at(4))
    happen(connection, 6, at=at(5))
    assert due(connection, now=at(2, day=15), **nightly) is None
    assert due(connection, now=at(3, day=15), **nightly) == ("graphsage", "it is 3:00 UTC")
    ran(connection, "graphsage", registry.FAILED, at=at(3, day=15))
    assert due(connection, now=at(4, day=15), **nightly) == ("graphsage", "it is 3:00 UTC")  # missed is not lost
    ran(connection, "graphsage", registry.KEPT, at=at(4, day=15))
    assert due(connection, now=at(23, day=15), **nightly) is None
    happen(connection, 10, at=at(5, day=15))
    assert due(connection, now=at(23, day=15), **nightly) == ("incremental", "16 new events")
    ran(connection, "graphsage", registry.KEPT, at=at(23, day=15))  # somebody asked for it
    assert due(connection, now=at(3, day=16), **nightly) == ("incremental", "16 new events")  # too early for another


def test_an_old_champion_is_a_trigger_while_events_come_in(connection):
    reign(connection, until=NOW - 20 * DAY)
    ran(connection, "graphsage", registry.KEPT, at=NOW - 19 * DAY)
    age = {"champion_max_age_seconds": 14 * 86_400.0}
    assert due(connection, **age) is None
    happen(connection, 1)
    assert due(connection, **age) == ("graphsage", "the champion is 20.0 days old")
    assert due(connection, champion_max_age_seconds=21 * 86_400.0) is None
    ran(connection, "graphsage", registry.KEPT, at=NOW)  # it was refused, and is not asked for again at each tick
    assert due(connection, **age) is None


def test_a_run_takes_the_requests_that_it_answers(connection):
    ask(connection)
    ask(connection, "all of it", full=True)
    run_id = retrain.enter(connection, "incremental", "monitoring: drift", now=NOW)
    run = registry.get_run(connection, run_id)
    assert run is not None
    assert (run.status, run.trigger, run.heartbeat_at) == (registry.RUNNING, "monitoring: drift", NOW)
    assert (run.owner or "").startswith("scheduler ")
    assert [request.reason for request in requests.waiting_requests(connection)] == ["all of it"]
    retrain.enter(connection, "graphsage", "monitoring: all of it", now=NOW)
    assert requests.waiting_requests(connection) == []
