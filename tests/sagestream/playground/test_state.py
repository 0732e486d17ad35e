"""The playground's memory: whole or not at all, and never somebody else's directory."""

from pathlib import Path

import msgspec
import pytest

from sagestream.playground import state
from sagestream.playground.state import PlaygroundState, StateMismatch

STATE = PlaygroundState(
    dataset="complete-journey",
    sample=800,
    min_item_users=20,
    seed=0,
    split_row=10,
    shift_ms=5,
    next_row=12,
    imported=True,
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    assert state.load(tmp_path) is None
    state.save(tmp_path, STATE)
    state.save(tmp_path, msgspec.structs.replace(STATE, next_row=20))
    loaded = state.load(tmp_path)
    assert loaded is not None
    assert loaded.next_row == 20


def test_another_data_set_is_refused() -> None:
    STATE.check("complete-journey", 800, 20, 0)
    with pytest.raises(StateMismatch, match="--fresh"):
        STATE.check("complete-journey", 100, 20, 0)
    with pytest.raises(StateMismatch, match="items of 1 shoppers"):
        STATE.check("complete-journey", 800, 1, 0)
    with pytest.raises(StateMismatch, match="seed 0, time=date"):
        STATE.check("complete-journey", 800, 20, 0, "time=date")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / state.FILE).write_text("{")
    with pytest.raises(StateMismatch, match="cannot be read"):
        state.load(tmp_path)


def test_starting_over_deletes_only_what_is_ours(tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    for directory in ("snapshots", "checkpoints"):
        (ours / directory).mkdir(parents=True)
    state.save(ours, STATE)
    (ours / f".{state.FILE}.4711").touch()  # of a save that was killed
    state.remove(ours)
    assert not ours.exists()
    state.remove(ours)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StateMismatch, match=r"thesis\.txt"):
        state.remove(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
