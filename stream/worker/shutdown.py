"""Shutdown: on SIGTERM or SIGINT the worker drains, commits and ends within ten seconds.

Arrives: a signal. Leaves: exit code 0 when Faust stopped by itself, 1 when the process was cut off; uncommitted records
are then delivered again. Next: a supervisor.

The main thread may wait for a database that does not answer, and then runs no signal handler. But the interpreter
writes the number of each signal to a file descriptor at once. A thread reads it, asks Faust to stop, and ends the
process after the time limit. A second signal ends it immediately.
"""

import logging
import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import faust

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_SECONDS = 9.0
BEAT_SECONDS = 5.0

PRIVATE_NAMES = {faust.Worker: ("install_signal_handlers", "on_worker_shutdown", "_on_sigterm")}
"""The private methods that are overridden or called, by class, as in `stream.kafka.record_batches`."""


class BoundedWorker(faust.Worker):
    """Faust's process with a time limit: it ends within `STOP_SECONDS` after a signal or a crash.

    The event loop calls `beat` every few seconds, whatever Faust waits for (`stream.liveness`).
    """

    beat: Callable[[], None] = staticmethod(lambda: None)

    def install_signal_handlers(self) -> None:
        """Replace Faust's handlers in the event loop. Called in the main thread."""
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        self._wakeup = sender  # kept open
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(sender.fileno())
        threading.Thread(target=self._follow, args=(receiver,), name="signals", daemon=True).start()
        self._keep_beating()

    def _keep_beating(self) -> None:
        self.beat()
        self.loop.call_later(BEAT_SECONDS, self._keep_beating)

    def _follow(self, receiver: socket.socket) -> None:
        number = receiver.recv(1)[0]
        logger.info("%s: stopping", signal.Signals(number).name)
        self.loop.call_soon_threadsafe(self._on_sigterm)
        again, _, _ = select.select([receiver], [], [], STOP_SECONDS)
        _cut_off("at a second signal" if again else f"{STOP_SECONDS:g} s after the signal")

    def on_worker_shutdown(self) -> None:
        """Start the time limit. Faust calls this when the worker ends for any reason, for example a crash."""
        super().on_worker_shutdown()
        watch: Any = threading.Timer(STOP_SECONDS, _cut_off, [f"{STOP_SECONDS:g} s after its end began"])
        watch.daemon = True
        watch.start()


def _cut_off(when: str) -> None:
    logger.error("the worker is cut off %s: what it has not committed is delivered again", when)
    logging.shutdown()
    os._exit(1)
