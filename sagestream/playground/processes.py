"""Processes: starts child processes in their own groups, watches and restarts them, and stops all at the end."""

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
HUNG_SECONDS = 60.0
"""A process that has answered before and does not answer, or says that it makes no progress, for this time, hangs."""
LOG_TAIL_BYTES = 2_000
_PR_SET_PDEATHSIG = 1


class ProcessFailed(UserError):
    """A child ended or did not become ready. The message holds the end of its log."""


# Loaded here and once: between fork and exec, with other threads running, loading a library may block for ever.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Request, in a child, a signal when its parent dies, even by SIGKILL. Only on Linux."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, number)


@dataclass
class Child:
    """One child process, with its start command. Its output is appended to `log`.

    Children with a higher `tier` stop first, because they depend on children with a lower one.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    tier: int = 0
    restartable: bool = True
    """Whether the process keeps its data over a restart. A process with all data in memory does not."""
    health: Callable[[], str] | None = None
    """Returns "ok", or why the running process makes no progress. None: only its death is noticed."""
    restarts: int = 0
    _answered: bool = False
    """Whether it was ok since its start. A process that starts does not answer yet."""
    _hung_since: float | None = None
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process. Raises `OSError` when the command cannot be run."""
        self._answered, self._hung_since = False, None
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                preexec_fn=die_with_parent,
                # Its own process group: Ctrl-C reaches only the parent, and the parent decides the stop order.
                # A group kill also ends the child's own children.
                process_group=0,
            )

    @property
    def pid(self) -> int | None:
        """The process id, or None when the process does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def alive(self) -> bool:
        """Whether the process runs now."""
        return self.pid is not None

    def hung(self, now: float) -> str:
        """Return why the process has hung for `HUNG_SECONDS`, else "". `now` is in seconds."""
        if self.health is None or not self.alive:
            return ""
        state = self.health()
        if state == "ok":
            self._answered, self._hung_since = True, None
        elif self._answered and self._hung_since is None:
            self._hung_since = now
        return state if self._hung_since is not None and now - self._hung_since >= HUNG_SECONDS else ""

    def kill(self) -> None:
        """Send SIGKILL to the process group, which also ends a process that was stopped."""
        self._end_group()
        if self._process is not None:
            self._process.wait()

    def tail(self) -> str:
        """Return the end of the log, for error messages."""
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if self.log.exists() else ""

    def wait_ready(
        self, ready: Callable[[], bool], timeout_seconds: float, progress: Callable[[], object] = lambda: None
    ) -> None:
        """Block until `ready` returns True. When the process ends or times out, stop it and raise `ProcessFailed`.

        The time begins again when `progress` returns something else: a busy machine is no fault of the process. The
        last value of `progress` is in the message of the failure.
        """
        deadline, known = time.monotonic() + timeout_seconds, progress()
        try:
            while True:
                answered = ready()
                if (state := progress()) != known:
                    deadline, known = time.monotonic() + timeout_seconds, state
                if not self.alive:  # checked last, because another program may answer on its port
                    raise ProcessFailed(f"{self.name} ended while starting:\n{self.tail()}")
                if answered:
                    return
                if time.monotonic() > deadline:
                    told = "" if known is None else f" ({known})"
                    raise ProcessFailed(f"{self.name} was not ready after {timeout_seconds:g} s{told}:\n{self.tail()}")
                time.sleep(0.05)
        except BaseException:  # Ctrl-C too, because the supervisor may not have the child yet
            self.stop()
            raise

    def request_stop(self) -> None:
        """Send SIGTERM and do not wait."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> bool:
        """Send SIGTERM, and SIGKILL after the timeout. Return True when SIGTERM was enough."""
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
        """Kill the rest of the child's process group, because the workers of a killed server would still answer."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):  # empty group, or on macOS only zombies
                os.killpg(self._process.pid, signal.SIGKILL)


class Supervisor:
    """A set of children: restarts ended children, and stops all, tier by tier."""

    def __init__(self) -> None:
        self.children: list[Child] = []

    def start(self, child: Child) -> Child:
        """Start a child and add it to the set."""
        child.start()
        self.children.append(child)
        return child

    def restart_dead(self) -> list[Child]:
        """Restart the children that ended. Return these children, so that the caller can report them.

        Raises `ProcessFailed` for a child that is not restartable.
        """
        dead = [child for child in self.children if not child.alive]
        for child in dead:
            if not child.restartable:
                raise ProcessFailed(f"{child.name} ended, and what it held in memory is lost:\n{child.tail()}")
            child.restarts += 1
            child.stop()  # the child has ended, but its own children may still run
            child.start()
        return dead

    def restart_hung(self, now: float) -> list[tuple[Child, str]]:
        """Kill and restart the children that hang. Return them with the reason. `now` is in seconds."""
        hung = [(child, why) for child in self.children if child.restartable and (why := child.hung(now))]
        for child, _ in hung:
            child.restarts += 1
            child.kill()
            child.start()
        return hung

    def stop(self) -> list[str]:
        """Stop all children, one tier at a time. Return the names of the killed ones."""
        killed = []
        for tier in sorted({child.tier for child in self.children}, reverse=True):
            leaving = [child for child in self.children if child.tier == tier]
            for child in leaving:
                child.request_stop()
            killed += [child.name for child in leaving if not child.stop()]
        self.children.clear()
        return killed
