"""The playground's own rules; `tests/test_loop.py` walks it whole."""

from pathlib import Path

import pytest

from sagestream.playground import state
from sagestream.playground.run import lock_directory
from sagestream.playground.state import StateInUse


def test_two_playgrounds_never_share_a_directory(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    first = lock_directory(directory)
    with pytest.raises(StateInUse, match="another playground runs"):
        lock_directory(directory)
    first.release()
    second = lock_directory(directory)
    second.release()


def test_starting_over_takes_the_new_directory(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path / "state")
    state.remove(tmp_path / "state")
    assert not (tmp_path / "state").exists()
    lock.release()
    lock_directory(tmp_path / "state").release()
