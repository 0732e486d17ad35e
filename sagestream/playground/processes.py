"""Child processes under supervision: started in their own group, watched, restarted, and never left behind."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from graphstore.errors import UserError

logger = logging.getLogger(__name__)

STOP_SECONDS = 12.0
LOG_TAIL_BYTES = 2_000
_PR_SET_PDEATHSIG = 1


class ProcessFailed(UserError):
    """A child ended, or did not become ready, when it should have run; the message holds the end of its log."""


# Looked up once, here: between fork and exec, beside other threads, loading a library may wait for ever.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Called in a child. Linux: the kernel sends it this signal when its parent dies, even by SIGKILL."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, number)


@dataclass
class Child:
    """One child process and how to start it again. Its output goes to `log`, appended.

    Children of a higher `tier` are stopped before those of a lower one, on which they stand.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    tier: int = 0
    restartable: bool = True
    """Whether it finds again what it held; one that keeps all in memory cannot simply go on."""
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; raises `OSError` where the command cannot be run."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                preexec_fn=die_with_parent,
                # A group of its own: Ctrl-C reaches the parent alone, which decides the order of stopping, and what
                # the child itself started can be ended with it.
                process_group=0,
            )

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self.pid is not None

    def tail(self) -> str:
        """The end of its log, for error messages."""
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if self.log.exists() else ""

    def wait_ready(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Block until `ready` says so; stops it and raises `ProcessFailed` when it ends first or takes too long."""
        deadline = time.monotonic() + timeout_seconds
        try:
            while True:
                answered = ready()
                if not self.alive:  # asked last: on its port somebody else may have answered
                    raise ProcessFailed(f"{self.name} ended while starting:\n{self.tail()}")
                if answered:
                    return
                if time.monotonic() > deadline:
                    raise ProcessFailed(f"{self.name} was not ready after {timeout_seconds:g} s:\n{self.tail()}")
                time.sleep(0.05)
        except BaseException:  # Ctrl-C too: whoever waits may not have handed the child on yet
            self.stop()
            raise

    def request_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> bool:
        """SIGTERM, then SIGKILL after the time; True where it went by itself."""
        self.request_stop()
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop within %g s and is killed", self.name, timeout_seconds)
            self._end_group()
            self._process.wait()
            return False
        self._end_group()
        return True

    def _end_group(self) -> None:
        """Kill whatever of the child's group is left: workers of a killed server would go on answering."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):  # nobody is left, or macOS says so of zombies
                os.killpg(self._process.pid, signal.SIGKILL)


class Supervisor:
    """A set of children: restarts what dies, stops all, tier by tier."""

    def __init__(self) -> None:
        self.children: list[Child] = []

    def start(self, child: Child) -> Child:
        """Start a child and keep it."""
        child.start()
        self.children.append(child)
        return child

    def restart_dead(self) -> list[Child]:
        """Start again whatever ended by itself; returns those, so that the caller can say so.

        Raises `ProcessFailed` for one that cannot be started again.
        """
        dead = [child for child in self.children if not child.alive]
        for child in dead:
            if not child.restartable:
                raise ProcessFailed(f"{child.name} ended, and what it held in memory is lost:\n{child.tail()}")
            child.restarts += 1
            child.stop()  # it has ended, but perhaps not what it had started
            child.start()
        return dead

    def stop(self) -> list[str]:
        """Stop all, those of one tier at once; the names of those that had to be killed."""
        killed = []
        for tier in sorted({child.tier for child in self.children}, reverse=True):
            leaving = [child for child in self.children if child.tier == tier]
            for child in leaving:
                child.request_stop()
            killed += [child.name for child in leaving if not child.stop()]
        self.children.clear()
        return killed
