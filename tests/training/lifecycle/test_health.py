"""What the probe and Prometheus say of the trainings."""

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Connection, Engine

from graphstore.session import write
from stream.probe import OK
from tests.training.lifecycle.test_registry import model
from training.config import TrainingConfig
from training.lifecycle import registry
from training.lifecycle.health import TrainingHealth
from training.lifecycle.heartbeat import DEAD_SECONDS
from training.lifecycle.registry import RunRow

CONFIG = TrainingConfig()
NOW = 1_700_000_000_000
HOUR = 3_600_000


@pytest.fixture
def connection(sqlite_engine: Engine):
    with write(sqlite_engine) as opened:
        yield opened


def health_at(connection: Connection, now: int, *, looked: int = NOW, waits_for: str = "") -> TrainingHealth:
    """The state at a time, as the last tick before it has left it."""
    health = TrainingHealth(now=lambda: now)
    health.look(connection, CONFIG, waits_for=waits_for, now=looked)
    return health


def ran(connection: Connection, run_id: str, status: str, *, kind: str = "incremental", at: int = NOW) -> RunRow:
    registry.start_run(connection, run_id, kind=kind, trigger="test", now=at)
    if status != registry.RUNNING:
        registry.finish_run(connection, run_id, status=status, now=at + 1_000, error="out of memory")
    run = registry.get_run(connection, run_id)
    assert run is not None
    return run


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"sagestream_{name}", labels)


def test_a_new_shop_is_well(connection):
    health = health_at(connection, NOW)
    assert health.state == OK
    assert health.words() == {"running": "no run", "last success": "never"}
    assert TrainingHealth().state == OK  # before the first tick


def test_the_running_run_and_the_last_success_have_an_age(connection):
    ran(connection, "r1", registry.KEPT, kind="graphsage", at=NOW - HOUR)
    ran(connection, "r2", registry.PROMOTED, at=NOW - 61_000)
    ran(connection, "r3", registry.RUNNING, at=NOW - 30_000)
    health = health_at(connection, NOW + 5_000, waits_for="incremental (drift): 1 of 30 shoppers can judge it")
    assert health.state == OK
    assert health.words() == {
        "running": "incremental for 35 s, heartbeat 35 s ago",
        "last success": "incremental 65 s ago",
        "waits": "incremental (drift): 1 of 30 shoppers can judge it",
    }
    assert sample("training_run_start_timestamp_seconds", kind="incremental") == (NOW - 30_000) / 1000
    assert sample("training_heartbeat_timestamp_seconds", kind="incremental") == (NOW - 30_000) / 1000
    assert sample("training_last_success_timestamp_seconds", kind="incremental") == (NOW - 60_000) / 1000
    assert sample("training_last_success_timestamp_seconds", kind="graphsage") == (NOW - HOUR + 1_000) / 1000
    registry.finish_run(connection, "r3", status=registry.KEPT, now=NOW)
    health_at(connection, NOW)
    assert sample("training_run_start_timestamp_seconds", kind="incremental") is None


def test_a_silent_run_is_a_trouble_even_when_nobody_looks(connection):
    ran(connection, "r1", registry.RUNNING)
    assert health_at(connection, NOW + int(DEAD_SECONDS * 1000)).state == OK
    state = health_at(connection, NOW + int(DEAD_SECONDS * 1000) + 1_000).state
    assert state == f"run r1 is silent for {DEAD_SECONDS + 1:.0f} s"


def test_failures_in_a_row_of_a_kind_are_a_trouble_while_it_is_tried(connection):
    for place in range(3):
        assert health_at(connection, NOW).state == OK
        ran(connection, f"full{place}", registry.FAILED, kind="graphsage", at=NOW + place)
    ran(connection, "update", registry.KEPT, at=NOW + 5)
    assert health_at(connection, NOW).state == "the last 3 graphsage runs failed: out of memory"
    assert sample("training_failures_in_a_row", kind="graphsage") == 3
    assert sample("training_failures_in_a_row", kind="incremental") == 0
    long_after = NOW + 49 * HOUR
    assert health_at(connection, long_after, looked=long_after).state == OK
    ran(connection, "full3", registry.KEPT, kind="graphsage", at=NOW + 10)
    assert health_at(connection, NOW).state == OK


def test_ends_and_requests_are_counted(connection):
    health = health_at(connection, NOW)
    before = sample("training_runs_total", kind="graphsage", outcome="failed") or 0
    health.count(ran(connection, "r1", registry.FAILED, kind="graphsage"))
    assert sample("training_runs_total", kind="graphsage", outcome="failed") == before + 1
    registry.request_retrain(connection, reason="drift", requested_by="monitoring", now=NOW)
    registry.register(connection, replace(model("m"), created_at=NOW))
    registry.promote(connection, "m", now=NOW)
    health_at(connection, NOW)
    assert sample("retrain_requests_waiting") == 1
    assert sample("champion_as_of_timestamp_seconds") is not None
