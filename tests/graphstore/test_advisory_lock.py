"""One process at a time on one database; each key is a lock of its own."""

from pathlib import Path

from sqlalchemy import Engine

from graphstore.advisory_lock import database_lock


def test_each_key_is_held_once_and_is_free_after_its_release(engine: Engine, tmp_path: Path) -> None:
    first, second = (database_lock(engine, 7, tmp_path / "7.lock") for _ in range(2))
    other = database_lock(engine, 2**62, tmp_path / "other.lock")
    assert first.acquire()
    assert not second.acquire()
    assert other.acquire()
    first.release()
    assert (first.held(), second.acquire(), other.held()) == (False, True, True)
    second.release()
    other.release()
