"""The leader lock on both databases: one holds it, a death frees it."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from graphstore.advisory_lock import AdvisoryLock
from graphstore.locks import FileLock
from training.lifecycle.leader import ADVISORY_KEY, leader_lock, wait_for_leadership


def test_one_at_a_time(engine: Engine, tmp_path: Path):
    first, second = (leader_lock(engine, tmp_path / "state" / "scheduler.lock") for _ in range(2))
    expected = AdvisoryLock if engine.dialect.name == "postgresql" else FileLock
    assert isinstance(first, expected)
    assert first.acquire()
    assert first.acquire()  # again is the same
    assert not second.acquire()
    assert (first.held(), second.held()) == (True, False)
    first.release()
    assert not first.held()
    assert second.acquire()
    second.release()
    second.release()


def test_waiting_ends_with_the_lock_or_the_stop(tmp_path: Path):
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire()
    stop, led = threading.Event(), []
    waiting = threading.Thread(target=lambda: led.append(wait_for_leadership(second, stop, retry_seconds=0.01)))
    waiting.start()
    first.release()
    waiting.join()
    assert led == [True]
    third = FileLock(tmp_path / "lock")
    stop.set()
    assert not wait_for_leadership(third, stop, retry_seconds=0.01)
    second.release()


@pytest.mark.kill
def test_a_killed_process_lets_go(tmp_path: Path):
    program = (
        "import sys, time; from pathlib import Path; from graphstore.locks import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); print(lock.acquire(), flush=True); time.sleep(60)"
    )
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        lock = FileLock(path)
        assert not lock.acquire()
        other.kill()
        other.wait()
    assert lock.acquire()
    lock.release()


@pytest.mark.service
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_lost_connection_is_noticed(engine: Engine):
    lock = AdvisoryLock(engine, ADVISORY_KEY)
    assert lock.acquire()
    with engine.connect() as connection:
        holder = text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key")
        connection.execute(holder, {"key": ADVISORY_KEY})
    assert not lock.held()
    other = AdvisoryLock(engine, ADVISORY_KEY)
    assert other.acquire()
    other.release()
