"""A spawned process: calls in order, errors, its end by a kill, by its parent's death and by a stop."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import spawn
from pathlib import Path

import psutil
import pytest

from graphstore.errors import reason
from tests.training import fits
from tests.waiting import without_waiting
from training.process import FaultInProcess, SpawnedProcess, SpawnedProcessFailed

ROOT = Path(__file__).parents[2]
PARENT = """
from tests.training import fits
from training.benchmark.isolated import run_isolated

if __name__ == "__main__":
    run_isolated(fits.endless_call, progress=lambda line, share: print(line.split()[0], flush=True))
"""


@pytest.mark.slow
def test_one_process_answers_one_call_after_the_other_after_it_has_prepared() -> None:
    with SpawnedProcess(prepare=fits.mark, environment={"OMP_NUM_THREADS": "3"}) as process:
        first, marked = process.call(fits.marked)
        assert marked
        assert process.call(fits.echo, 7) == (7, "3")
        with pytest.raises(FaultInProcess, match=r"Traceback[^$]*fits\.py") as fault:
            process.call(fits.failing_call)
        assert reason(fault.value) == "ValueError: singular matrix"  # what a health answer says, in one line
        with pytest.raises(SpawnedProcessFailed, match=r"^too few events$") as refused:
            process.call(fits.refusing_call)
        assert refused.value.exit_code == 1
        assert process.call(fits.marked) == (first, True)
        child = psutil.Process(first)
    assert not child.is_running()


@pytest.mark.kill
def test_a_killed_process_fails_its_call_and_a_stop_lets_a_call_clear_up(tmp_path: Path) -> None:
    pids: list[int] = []
    with SpawnedProcess() as process:

        def kill(line: str, _share: float) -> None:
            pids.append(int(line))
            threading.Thread(target=process.kill).start()

        with pytest.raises(SpawnedProcessFailed, match="its process ended by SIGKILL: out of memory"):
            process.call(fits.endless_call, progress=kill)

    def interrupt(line: str, _share: float) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), SpawnedProcess() as process:
        process.call(fits.endless_call_that_clears_up, tmp_path / "marker", progress=interrupt)
    assert len(pids) == 2
    assert not (tmp_path / "marker").exists()
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.fixture
def interpreter() -> Iterator[Callable[[str], None]]:
    """Sets the program that a spawned process starts, in place of Python."""
    before = spawn.get_executable()
    yield spawn.set_executable
    spawn.set_executable(before)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises `KeyboardInterrupt`, also in a run that a shell started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


LARGE = b"0" * 50_000_000
"""More than any pipe or socket takes before somebody reads it."""


@pytest.mark.kill
def test_a_process_that_dies_in_its_start_is_told_at_once(interpreter: Callable[[str], None]) -> None:
    interpreter("/bin/false")
    with (
        without_waiting(30),
        SpawnedProcess() as process,
        pytest.raises(SpawnedProcessFailed, match="ended with exit code 1"),
    ):
        process.call(fits.echo, LARGE)


@pytest.mark.kill
@pytest.mark.usefixtures("ctrl_c")
def test_a_process_that_is_killed_while_it_imports_is_told_and_an_interrupt_ends_the_wait(
    interpreter: Callable[[str], None], tmp_path: Path
) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    interpreter(str(slow))
    with without_waiting(30):
        with SpawnedProcess() as process, pytest.raises(SpawnedProcessFailed, match="ended by SIGKILL"):
            threading.Timer(0.2, process.kill).start()
            process.call(fits.echo, LARGE)
        with pytest.raises(KeyboardInterrupt), SpawnedProcess() as process:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            process.call(fits.echo, LARGE)


@pytest.mark.kill
def test_a_dead_process_is_told_while_a_process_that_it_forked_lives_on() -> None:
    orphans: list[int] = []
    with SpawnedProcess() as process, pytest.raises(SpawnedProcessFailed, match="ended by SIGKILL"):
        process.call(fits.orphaning_call, progress=lambda line, _: orphans.append(int(line)))
    assert psutil.pid_exists(orphans[0])
    os.kill(orphans[0], signal.SIGKILL)


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
