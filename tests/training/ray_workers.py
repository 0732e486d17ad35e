"""Workers of a Ray that hang and are killed, for tests of what a job does then."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.waiting import wait_until

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason='Ray is not installed: pip install ".[ray]"')

OF_RAY_KILLS = [pytest.mark.slow, pytest.mark.kill, needs_ray]
"""The marks of a module that kills workers of a Ray."""


def hang_once(marker: Path) -> None:
    """At the first call leave the pid of this worker in the file, and never return; later calls do nothing."""
    if marker.exists():
        return
    unready = marker.with_suffix(".new")
    unready.write_text(str(os.getpid()))
    unready.rename(marker)
    threading.Event().wait()


@contextmanager
def killed_worker(marker: Path) -> Iterator[None]:
    """Kill the worker that hangs (`hang_once`) while the block runs. At the end there must have been one."""
    killed = []

    def kill() -> None:
        wait_until(marker.exists)
        killed.append(int(marker.read_text()))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()
    assert killed and killed[0] != os.getpid()
