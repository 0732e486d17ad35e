"""When a run is due, and what becomes of requests."""

import pytest
from sqlalchemy import Connection, Engine, insert

from graphstore.session import write
from graphstore.tables import interactions, snapshots
from tests.training.lifecycle.test_registry import model
from training.config import TrainingConfig
from training.lifecycle import registry, retrain

CONFIG = TrainingConfig(retrain_min_events=10, scheduler_tick_seconds=10, retrain_full_seconds=1_000)
NOW = 1_700_000_000_000


@pytest.fixture
def connection(sqlite_engine: Engine):
    with write(sqlite_engine) as opened:
        yield opened


def happen(connection: Connection, count: int) -> None:
    before = len(connection.execute(interactions.select()).all())
    event = {"event_type": 0, "user_key": 1, "item_key": 1, "event_time": 1, "ingest_time": 1}
    connection.execute(insert(interactions), [event | {"event_id": f"e{before + n}"} for n in range(count)])


def ran(connection: Connection, kind: str, status: str, *, at: int, saw: int = 0) -> str:
    """A run that took a second and saw so many interactions."""
    run_id = retrain.enter(connection, kind, "test", now=at)
    if status == registry.FAILED:
        registry.finish_run(connection, run_id, status=status, now=at + 1_000, error="broken")
        return run_id
    counts = {"users": 1, "items": 1, "interactions": saw, "path": ""}
    row = {"snapshot_id": run_id, "as_of": 1, "last_interaction_key": saw, "created_at": 1}
    connection.execute(insert(snapshots).values(row | counts))
    registry.finish_run(connection, run_id, status=status, now=at + 1_000, snapshot_id=run_id)
    return run_id


def reign(connection: Connection) -> None:
    registry.register(connection, model("m"))
    registry.promote(connection, "m", now=1)


def test_enough_events(connection):
    happen(connection, 9)
    assert retrain.due(connection, CONFIG, now=NOW) is None
    happen(connection, 1)
    assert retrain.due(connection, CONFIG, now=NOW) == ("closed_form", "10 new events")


def test_a_request_needs_any_new_event(connection):
    registry.request_retrain(connection, reason="drift", requested_by="monitoring", now=NOW)
    assert retrain.due(connection, CONFIG, now=NOW) is None
    happen(connection, 1)
    assert retrain.due(connection, CONFIG, now=NOW) == ("closed_form", "monitoring: drift")


def test_which_kind(connection):
    reign(connection)
    happen(connection, 10)
    assert retrain.due(connection, CONFIG, now=NOW) == ("graphsage", "10 new events")
    ran(connection, "graphsage", registry.KEPT, at=NOW, saw=10)
    assert retrain.due(connection, CONFIG, now=NOW + 2_000) is None  # all seen, although nothing was promoted
    happen(connection, 10)
    assert retrain.due(connection, CONFIG, now=NOW + 2_000) == ("incremental", "10 new events")
    assert retrain.due(connection, CONFIG, now=NOW + 1_000_000) == ("graphsage", "10 new events")


def test_failures_wait_longer_and_longer(connection):
    happen(connection, 10)
    ran(connection, "closed_form", registry.FAILED, at=NOW)
    assert retrain.due(connection, CONFIG, now=NOW + 20_000) is None
    assert retrain.due(connection, CONFIG, now=NOW + 21_000) is not None
    ran(connection, "closed_form", registry.FAILED, at=NOW + 21_000)
    assert retrain.due(connection, CONFIG, now=NOW + 61_000) is None
    assert retrain.due(connection, CONFIG, now=NOW + 62_000) is not None
    for place in range(2, 30):
        ran(connection, "closed_form", registry.FAILED, at=NOW + place * 100_000)
    hour_later = NOW + 29 * 100_000 + 1_000 + 3_600_000
    assert retrain.due(connection, CONFIG, now=hour_later - 1) is None
    assert retrain.due(connection, CONFIG, now=hour_later) is not None


def test_requests_of_a_dead_run_are_offered_again_until_too_many_fail(connection):
    registry.request_retrain(connection, reason="drift", requested_by="monitoring", now=NOW)
    first = retrain.enter(connection, "incremental", "monitoring: drift", now=NOW)
    assert registry.pending_requests(connection) == []
    retrain.settle(connection, now=NOW + 1_000, max_attempts=2)  # a new leader finds it running
    run = registry.get_run(connection, first)
    assert run is not None
    assert run.status == registry.FAILED
    assert [request.reason for request in registry.pending_requests(connection)] == ["drift"]
    second = retrain.enter(connection, "incremental", "monitoring: drift", now=NOW + 2_000)
    retrain.settle(connection, now=NOW + 3_000, run_id=second, max_attempts=2)
    assert registry.pending_requests(connection) == []  # the second failure in a row


def test_a_run_that_ended_well_is_left_as_it_is(connection):
    registry.request_retrain(connection, reason="drift", requested_by="monitoring", now=NOW)
    run_id = ran(connection, "closed_form", registry.PROMOTED, at=NOW)
    retrain.settle(connection, now=NOW + 1_000, run_id=run_id)
    run = registry.get_run(connection, run_id)
    assert run is not None
    assert run.status == registry.PROMOTED
    assert registry.pending_requests(connection) == []
