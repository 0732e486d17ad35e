"""Liveness: notices a main loop that makes no progress, or a thread that is gone, and ends the process, so that a
supervisor starts it again.

Arrives: a beat of the main loop, after each of its rounds. Leaves: the state for `/healthz` (`stream.probe`), and after
a grace time the end of the process, with the reason and all stacks in the log. Next: a supervisor or an orchestrator.

A supervisor that waits for the death of a process, as Docker does, never sees one that hangs.
"""

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from stream.probe import OK

logger = logging.getLogger(__name__)

STALL_SECONDS = 120.0
"""A loop whose round takes longer makes no progress, unless it said before that the round takes long."""

GRACE_LOOKS = 6
"""How often in a row the watch must find no progress. A process that was stopped and goes on gets time for a beat."""

LOOK_SECONDS = 5.0

HUNG_EXIT = 70
"""EX_SOFTWARE in sysexits.h."""


_ended: list[str] = []


def end_with_threads() -> None:
    """From now on a thread of this process that ends with an error counts as no progress.

    Nothing starts it again, and the process would go on without what it did: half alive, with a good `/healthz`.
    """
    told = threading.excepthook

    def hear(ended: threading.ExceptHookArgs) -> None:
        told(ended)
        if not issubclass(ended.exc_type, SystemExit):
            name = "unknown" if ended.thread is None else ended.thread.name
            _ended.append(f"the thread {name} ended with {ended.exc_type.__name__}")

    threading.excepthook = hear


class Liveness:
    """The last beat of one main loop. The loop beats, other threads ask. `clock` is in seconds."""

    def __init__(self, *, stall_seconds: float = STALL_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._doing = "starting"
        self._beat = clock()
        self._until = self._beat + stall_seconds

    def beat(self, doing: str = "working", *, within_seconds: float = 0.0) -> None:
        """The loop makes progress. The next beat comes within `within_seconds`, if that is longer than usual."""
        self._doing, self._beat = doing, self._clock()
        self._until = self._beat + max(self._stall_seconds, within_seconds)

    @property
    def state(self) -> str:
        """Return "ok", or which thread is gone, or for how long and at what the loop makes no progress."""
        if _ended:
            return _ended[0]
        now = self._clock()
        return OK if now <= self._until else f"no progress for {now - self._beat:.0f} s: {self._doing}"


def end_hung_process(state: str) -> NoReturn:
    """Log the reason and what each thread does, and end the process without its shutdown, which would hang, too."""
    logger.critical("this process ends itself, because it does not go on: %s", state)
    faulthandler.dump_traceback(sys.__stderr__ or 2)
    logging.shutdown()
    os._exit(HUNG_EXIT)


class Watchdog:
    """A thread that looks at a `Liveness` and calls `end` with its state when there was no progress."""

    def __init__(
        self,
        liveness: Liveness,
        *,
        end: Callable[[str], object] = end_hung_process,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._liveness = liveness
        self._end = end
        self._look_seconds = look_seconds
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()

    def _run(self) -> None:
        found = 0
        while not self._stop.wait(self._look_seconds):
            state = self._liveness.state
            found = 0 if state == OK else found + 1
            if found >= GRACE_LOOKS:
                self._end(state)
                return
