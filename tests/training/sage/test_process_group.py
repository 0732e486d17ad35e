"""Processes that come together, and those that do not."""

from pathlib import Path

import pytest
import torch

from sagestream.playground.embedded import LOOPBACK, free_port
from tests.training import together
from tests.training.together import run_together
from training.sage.process_group import ProcessGroup, ProcessGroupError, join_process_group


def test_a_process_by_itself_sums_itself() -> None:
    values = torch.tensor([1.0, 2.0])
    ProcessGroup().all_reduce(values)
    assert values.tolist() == [1.0, 2.0]
    assert [part.tolist() for part in ProcessGroup().all_gather(values)] == [[1.0, 2.0]]
    ProcessGroup().check_equal(b"a" * 32, "mark")


def test_without_the_launcher_it_says_how_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ProcessGroupError, match=r"RANK.*torchrun"), join_process_group(timeout_seconds=1.0):
        pass


@pytest.mark.slow
def test_who_is_not_met_in_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 1 of 2, and nobody is process 0."""
    settings = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(free_port())}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ProcessGroupError, match="did not come together"), join_process_group(timeout_seconds=1.0):
        pass


@pytest.mark.slow
def test_a_process_that_is_late_ends_the_wait(tmp_path: Path) -> None:
    first, _ = run_together(together.wait_for_a_late_one, tmp_path / "given up", size=2, timeout_seconds=2.0)
    assert isinstance(first, ProcessGroupError)
    assert "process 0 of 2 waited in vain" in str(first)
