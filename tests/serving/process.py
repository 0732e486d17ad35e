"""A server of ours as a process of its own, for tests that stop or kill it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def started(program: str, settings: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Run a line of Python in a process group of its own, which is killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until_ready(process: "subprocess.Popen[str]", ready: Callable[[], bool]) -> None:
    """Wait until the process is ready. One that has ended fails the test with its output."""
    wait_until(lambda: ready() or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
