"""Who is alive, on both databases."""

import socket

import pytest
from sqlalchemy import Engine

from graphstore.session import read, write
from tests.waiting import wait_until
from training.lifecycle import registry
from training.lifecycle.heartbeat import DEAD_SECONDS, DIED, SCHEDULER, TRAIN, beating, dead_runs, fail_dead, owner_name
from training.lifecycle.registry import RunRow

NOW = 1_700_000_000_000
DEAD_MS = int(DEAD_SECONDS * 1000)


def run_of(engine: Engine, run_id: str) -> RunRow:
    with read(engine) as connection:
        run = registry.get_run(connection, run_id)
    assert run is not None
    return run


def start(engine: Engine, run_id: str, *, owner: str | None) -> None:
    with write(engine) as connection:
        registry.start_run(connection, run_id, kind="incremental", trigger="test", now=NOW, owner=owner)


def test_a_process_that_trains_beats_until_it_ends(engine: Engine):
    start(engine, "r1", owner=owner_name(TRAIN))
    clock = iter(range(NOW + 1, NOW + 1_000_000))
    with beating(engine, "r1", now=lambda: next(clock), seconds=0.001):
        wait_until(lambda: (run_of(engine, "r1").heartbeat_at or 0) > NOW + 2)
    last = run_of(engine, "r1").heartbeat_at
    assert last == next(clock) - 1  # the last beat was written before the context ended
    assert run_of(engine, "r1").owner == owner_name(TRAIN)
    assert socket.gethostname()[:50] in owner_name(TRAIN)


def test_a_run_that_has_ended_beats_no_more(engine: Engine):
    start(engine, "r1", owner=None)
    with write(engine) as connection:
        registry.finish_run(connection, "r1", status=registry.KEPT, now=NOW)
    clock = iter(range(NOW + 1, NOW + 1_000_000))
    with beating(engine, "r1", now=lambda: next(clock), seconds=0.001):
        wait_until(lambda: next(clock) > NOW + 5)
    assert run_of(engine, "r1").heartbeat_at == NOW


@pytest.mark.parametrize(
    ("owner", "age", "dead", "dead_to_a_new_leader"),
    [
        ("train shop:7", 0, False, False),
        ("train shop:7", DEAD_MS, False, False),
        ("train shop:7", DEAD_MS + 1, True, True),
        ("scheduler shop:7", 0, False, True),  # only the leader trains, and its child ends with it
        ("scheduler shop:7", DEAD_MS + 1, True, True),
        (None, 0, False, False),
        (None, DEAD_MS + 1, True, True),
    ],
)
def test_who_is_dead(engine: Engine, owner, age, dead, dead_to_a_new_leader):
    start(engine, "r1", owner=owner)
    with write(engine) as connection:
        assert dead_runs(connection, now=NOW + age) == (["r1"] if dead else [])
        assert dead_runs(connection, now=NOW + age, new_leader=True) == (["r1"] if dead_to_a_new_leader else [])


def test_the_dead_fail_and_the_living_go_on(engine: Engine):
    start(engine, "r1", owner=owner_name(SCHEDULER))
    start(engine, "r2", owner=owner_name(TRAIN))
    with write(engine) as connection:
        assert fail_dead(connection, now=NOW + 1, new_leader=True) == ["r1"]
        assert fail_dead(connection, now=NOW + 2, new_leader=True) == []
    assert (run_of(engine, "r1").status, run_of(engine, "r1").error) == (registry.FAILED, DIED)
    assert run_of(engine, "r2").status == registry.RUNNING
