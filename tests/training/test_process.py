"""A child whose parent is killed ends by itself, in the middle of its computing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
PARENT = """
from tests.training import fits
from training.benchmark.isolated import run_isolated

if __name__ == "__main__":
    run_isolated(fits.endless_call, progress=lambda line, share: print(line, flush=True))
"""


@pytest.mark.kill
def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, program], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs([child], timeout=30)
    assert not alive
