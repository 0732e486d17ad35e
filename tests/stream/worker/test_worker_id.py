"""Two workers with one id: the second is told so, and the first goes on."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from stream.config import StreamConfig
from stream.worker.worker_id import IdWatch, WorkerIdTaken, id_lock, take_id
from tests.waiting import wait_until


def test_the_second_with_an_id_is_told_what_to_do(engine: Engine, tmp_path: Path) -> None:
    config, stop, told = StreamConfig(worker_id="w1"), threading.Event(), list[str]()
    first, second = (id_lock(engine, config, tmp_path) for _ in range(2))
    take_id(first, "w1", stop, told.append)
    with pytest.raises(WorkerIdTaken, match=r"another worker with the id 'w1' is running.*SAGESTREAM_WORKER_ID"):
        take_id(second, "w1", stop, told.append, wait_seconds=0)
    for other in (StreamConfig(worker_id="w2"), StreamConfig(worker_id="w1", worker_group="another shop")):
        lock = id_lock(engine, other, tmp_path)
        take_id(lock, other.member_id, stop, told.append, wait_seconds=0)
        lock.release()
    watch = IdWatch(first, "w1")
    watch.close()
    take_id(second, "w1", stop, told.append, wait_seconds=5)
    second.release()
    assert set(told) == {""}


class Failing:
    """A lock in a database that is away for some time."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.mine = False

    def acquire(self) -> bool:
        if self.failures:
            self.failures -= 1
            raise OperationalError("s", {}, Exception("refused"))
        self.mine = True
        return True

    def held(self) -> bool:
        return self.mine

    def release(self) -> None:
        self.mine = False


def test_a_database_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    lock = Failing(1)
    take_id(lock, "w", threading.Event(), told.append, wait_seconds=0.5)
    assert told == ["the database: (builtins.Exception) refused", ""]
    lock.mine, lock.failures = False, 2
    watch = IdWatch(lock, "w", check_seconds=0.01)
    wait_until(lock.held)
    watch.close()
    assert "the lock on the worker's id waits for the database" in caplog.text


def test_a_stop_ends_the_wait() -> None:
    stop = threading.Event()
    stop.set()
    take_id(Failing(1), "w", stop, lambda _: None)


def test_the_id_is_the_host_name_where_no_other_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "3f2a")
    assert StreamConfig().member_id == "3f2a"
    assert StreamConfig(worker_id="left").member_id == "left"
