"""`retrain`: a request like any other, and the wait for its answer."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from graphstore.session import now_ms, open_engine, read, write
from tests.databases import migrated_sqlite
from tests.sagestream.verbs.commands import run
from tests.waiting import wait_until
from training.lifecycle import registry, requests


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    migrated_sqlite(tmp_path / "graph.db")
    return {"STATE_DIR": str(tmp_path)}


@pytest.fixture
def engine(state: dict[str, str]) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{state['STATE_DIR']}/graph.db")
    yield opened
    opened.dispose()


def waiting(engine: Engine) -> list[registry.RetrainRequest]:
    with read(engine) as connection:
        return requests.waiting_requests(connection)


def test_it_asks(state: dict[str, str], engine: Engine) -> None:
    done = run("retrain", "--full", "--why", "a new season", "--json", settings=state)
    assert (done.code, done.json["request_key"], done.json["status"]) == (0, 1, "waiting")
    assert "request 2 is waiting: the scheduler trains" in run("retrain", settings=state).out
    first, second = waiting(engine)
    assert (first.requested_by, first.reason, first.full) == ("command line", "a new season", True)
    assert (second.reason, second.full) == ("by hand", False)


@pytest.mark.parametrize("why", [" ", "x" * 501])
def test_a_reason_is_needed(state: dict[str, str], engine: Engine, why: str) -> None:
    assert run("retrain", "--why", why, settings=state).code == 2
    assert waiting(engine) == []


@pytest.mark.parametrize(
    ("status", "attempts", "code", "told"),
    [(registry.KEPT, 1, 0, "answered, kept"), (registry.FAILED, 3, 1, "dropped, 3 closed_form runs failed in a row")],
)
def test_it_waits_for_the_answer(
    state: dict[str, str], engine: Engine, status: str, attempts: int, code: int, told: str
) -> None:
    def schedule() -> None:
        wait_until(lambda: waiting(engine))
        for number in range(attempts):
            with write(engine) as connection:
                registry.start_run(connection, f"r{number}", kind="closed_form", trigger="test", now=now_ms())
                requests.take_requests(connection, f"r{number}", full=False)
                registry.finish_run(connection, f"r{number}", status=status, now=now_ms(), error="no memory")
                requests.settle(connection, now=now_ms())

    scheduler = threading.Thread(target=schedule)
    scheduler.start()
    done = run("retrain", "--wait", settings=state)
    scheduler.join()
    assert done.code == code
    assert told in done.out
