"""What a killed fit left is found by the next one, by one process at a time, and by none where it is too old."""

import multiprocessing
from pathlib import Path

import pytest

from training.unfinished import UnfinishedFits

OLD, NEW = "s0000000001000-7", "s0000000002000-7"


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A directory with two unfinished fits and a file of somebody else."""
    for name in (f"{OLD}.pt", f"{NEW}.pt", "notes.pt"):
        (tmp_path / name).touch()
    return tmp_path


def test_the_newest_is_gone_on_with_where_it_is_new_enough(left):
    with UnfinishedFits(left) as fits:
        assert fits.snapshot_id(since=0) == NEW
        assert fits.snapshot_id(since=2000) == NEW
        assert fits.snapshot_id(since=2001) is None


def test_a_fit_has_a_file_and_removes_those_of_others(left):
    with UnfinishedFits(left) as fits:
        assert fits.checkpoint(NEW) == left / f"{NEW}.pt"
    assert {path.name for path in left.glob("*.pt")} == {f"{NEW}.pt"}


def test_a_directory_is_made_and_empty_at_first(tmp_path):
    with UnfinishedFits(tmp_path / "checkpoints") as fits:
        assert fits.snapshot_id(since=0) is None
        path = fits.checkpoint(OLD)
        assert path is not None
        path.touch()
        assert fits.snapshot_id(since=0) == OLD


def _second(directory: Path, found: "multiprocessing.queues.Queue[object]") -> None:
    with UnfinishedFits(directory) as fits:
        found.put((fits.snapshot_id(since=0), fits.checkpoint(NEW)))


def test_a_second_process_finds_nothing_and_touches_nothing(left):
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    with UnfinishedFits(left):
        second = context.Process(target=_second, args=(left, found))
        second.start()
        assert found.get(timeout=60) == (None, None)
        second.join()
    assert len(list(left.glob("*.pt"))) == 3
    with UnfinishedFits(left) as fits:  # the lock went with the context
        assert fits.snapshot_id(since=0) == NEW
