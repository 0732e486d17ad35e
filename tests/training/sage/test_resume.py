"""What a killed fit left is found by a later one, by one process at a time, and by none where it is out of date."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from graphstore.session import write
from graphstore.tables import erasures
from tests.forked import forked
from training.lifecycle import registry
from training.sage.resume import CheckpointStore, resumable_since

OLD, NEW = "s0000000001000-7", "s0000000002000-7"


def fits_in(directory: Path, settings: str = "usual") -> CheckpointStore:
    return CheckpointStore(directory, settings=settings)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A directory with what two killed fits have left, and one that was killed while it wrote."""
    with fits_in(tmp_path) as fits:
        old = fits.checkpoint(OLD)
    assert old is not None
    for name in (old.name, old.name.replace(OLD, NEW), f".{old.name}.4711"):
        (tmp_path / name).touch()
    return tmp_path


def names(directory: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in directory.iterdir()}


def test_the_newest_is_gone_on_with_where_it_is_new_enough(left):
    with fits_in(left) as fits:
        assert fits.snapshot_id(since=0) == NEW
        assert fits.snapshot_id(since=2000) == NEW
        assert fits.snapshot_id(since=2001) is None


def test_fits_with_other_settings_are_not_seen(left):
    with fits_in(left, "others") as fits:
        assert fits.snapshot_id(since=0) is None


def test_a_fit_has_a_file_and_removes_what_others_left(left):
    with fits_in(left) as fits:
        path = fits.checkpoint(NEW)
    assert path is not None
    assert path.exists()
    assert set(left.iterdir()) == {path, left / "lock"}
    with fits_in(left, "others") as fits:
        assert fits.checkpoint(NEW) != path
    assert names(left) == {"lock"}


def test_a_directory_is_made_and_empty_at_first(tmp_path):
    with fits_in(tmp_path / "checkpoints") as fits:
        assert fits.snapshot_id(since=0) is None
        path = fits.checkpoint(OLD)
        assert path is not None
        path.touch()
        assert fits.snapshot_id(since=0) == OLD


def _second(directory: Path, found: Any) -> None:
    with fits_in(directory) as fits:
        found.put((fits.snapshot_id(since=0), fits.checkpoint(NEW)))


@pytest.mark.slow
def test_a_second_process_finds_nothing_and_touches_nothing(left):
    found = forked.Queue()
    before = set(left.iterdir())
    with fits_in(left):
        second = forked.Process(target=_second, args=(left, found))
        second.start()
        assert found.get(timeout=120) == (None, None)
        second.join()
    assert set(left.iterdir()) == before
    with fits_in(left) as fits:  # the lock went with the context
        assert fits.snapshot_id(since=0) == NEW


def _model(version: str, status: str, created_at: int) -> registry.ModelRow:
    return registry.ModelRow(version, "closed_form", status, None, OLD, "nowhere", {}, {}, 1.0, created_at)


@pytest.mark.parametrize(
    "happens",
    [
        lambda connection: registry.register(connection, _model("m2", registry.KEPT, 5_000)),
        lambda connection: registry.request_retrain(connection, reason="drift", requested_by="monitor", now=5_000),
        lambda connection: connection.execute(insert(erasures).values(user_id="ann", requested_at=5_000)),
    ],
    ids=["another model", "a request", "somebody is forgotten"],
)
def test_what_happens_since_puts_a_fit_out_of_date(sqlite_engine: Engine, happens):
    with write(sqlite_engine) as connection:
        assert resumable_since(connection, now=10_000, max_age_seconds=9) == 1_000
        registry.register(connection, _model("m1", registry.CHAMPION, 2_000))
        assert resumable_since(connection, now=10_000, max_age_seconds=9) == 2_000
        happens(connection)
        assert resumable_since(connection, now=10_000, max_age_seconds=9) == 5_000
        assert resumable_since(connection, now=10_000, max_age_seconds=1) == 9_000
