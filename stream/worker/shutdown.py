"""The end of the worker: drained and committed on SIGTERM or SIGINT, and over within ten seconds whatever happens.

Arrives: a signal. Leaves: exit code 0 where Faust came to its end, 1 where it had to be cut off: what was not committed
then is delivered again. Next: a supervisor.

The main thread may be held up in a database that does not answer, and then runs no handler. But the interpreter writes
each signal's number into a file descriptor at once; a thread reads it, asks Faust to stop, and ends the process when
the time is up. A second signal ends it at once.
"""

import logging
import os
import select
import signal
import socket
import threading
from typing import Any

import faust

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_SECONDS = 9.0

PRIVATE_NAMES = {faust.Worker: ("install_signal_handlers", "on_worker_shutdown", "_on_sigterm")}
"""What is overridden or called, by class: as in `stream.kafka.record_batches`."""


class BoundedWorker(faust.Worker):
    """Faust's process, which ends within `STOP_SECONDS` of a signal or a crash."""

    def install_signal_handlers(self) -> None:
        """In place of handlers in the event loop; called in the main thread."""
        told, tells = socket.socketpair()
        tells.setblocking(False)
        self._wakeup = tells  # kept open
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(tells.fileno())
        threading.Thread(target=self._follow, args=(told,), name="signals", daemon=True).start()

    def _follow(self, told: socket.socket) -> None:
        number = told.recv(1)[0]
        logger.info("%s: stopping", signal.Signals(number).name)
        self.loop.call_soon_threadsafe(self._on_sigterm)
        again, _, _ = select.select([told], [], [], STOP_SECONDS)
        _cut_off("at a second signal" if again else f"{STOP_SECONDS:g} s after the signal")

    def on_worker_shutdown(self) -> None:
        """Faust's hook, called when the worker ends for any reason, as a crash."""
        super().on_worker_shutdown()
        watch: Any = threading.Timer(STOP_SECONDS, _cut_off, [f"{STOP_SECONDS:g} s after its end began"])
        watch.daemon = True
        watch.start()


def _cut_off(when: str) -> None:
    logger.error("the worker is cut off %s: what it has not committed is delivered again", when)
    logging.shutdown()
    os._exit(1)
