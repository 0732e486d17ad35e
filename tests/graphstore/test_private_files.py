"""What is written is its owner's alone, and a state directory of older days is closed, aloud and with care."""

import os
import stat
from pathlib import Path

import pytest

from graphstore.private_files import close_directory, private_files
from graphstore.session import migrate


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def usual_mask() -> None:
    os.umask(0o022)


def test_new_directories_and_files_of_any_library_are_private(tmp_path: Path) -> None:
    with private_files():
        migrate(f"sqlite:///{tmp_path / 'state' / 'graph.db'}")
    assert mode(tmp_path / "state") == 0o700
    assert {mode(path) for path in (tmp_path / "state").iterdir()} == {0o600}
    (tmp_path / "later").touch()
    assert mode(tmp_path / "later") == 0o644


def test_an_open_state_directory_is_closed_once_and_aloud(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "models" / "m1").mkdir(parents=True)
    for name in ("graph.db", "graph.db-wal", "models/m1/weights.pt", "notes of the owner"):
        (state / name).touch()
    (state / "models" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").touch()
    assert close_directory(state) == (
        f"{state} is open to others (mode 0755): closed it, and 5 files and directories in it"
    )
    assert mode(state) == mode(state / "models" / "m1") == 0o700
    assert mode(state / "models" / "m1" / "weights.pt") == mode(state / "graph.db-wal") == 0o600
    assert mode(tmp_path / "elsewhere") == mode(state / "notes of the owner") == 0o644
    assert close_directory(state) is None


def test_a_directory_that_is_not_ours_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    assert close_directory(tmp_path / "nowhere") is None
    assert close_directory(tmp_path / "thesis.txt") is None
    before = mode(tmp_path)
    tmp_path.chmod(0o755)
    assert close_directory(tmp_path) is None
    (tmp_path / "graph.db").touch()
    tmp_path.chmod(0o1777)
    assert "name a directory of its own" in str(close_directory(tmp_path))
    assert mode(tmp_path) == 0o1777
    tmp_path.chmod(before)


def test_an_empty_directory_is_closed(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    assert "closed it" in str(close_directory(volume))
    assert mode(volume) == 0o700
