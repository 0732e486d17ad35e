"""Drift child: the monitor's side of the process that makes drift reports.

Arrives: a `DriftJob`. Leaves: a `DriftResult`. Next: `monitoring.run` stores the figure.

The process starts with the first job and stays, because its import of Evidently costs more than a report. It is ended
with the monitor, after an error, and after `JOBS` reports, so that memory that a library does not give back cannot grow
for ever. Rejected: a process pool. With a pipe nothing is pickled, and the process can be killed at any time.
"""

import logging
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType

import msgspec

from monitoring.drift.job import DriftAnswer, DriftJob
from monitoring.drift.verdict import DriftResult

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 300.0
"""The time limit of a report. After a timeout the next report runs when it is due."""
JOBS = 100
"""Reports of one process: four days of hourly reports."""


class DriftJobFailed(RuntimeError):
    """The child ended without a result, or took too long. Its log is on the monitor's standard error."""


class DriftChild:
    """The child process, which one thread uses. Close it at the end; then no process is left."""

    def __init__(self, *, timeout_seconds: float = TIMEOUT_SECONDS, jobs: int = JOBS) -> None:
        self._timeout_seconds = timeout_seconds
        self._jobs = jobs
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread()
        self._done = 0

    def run(self, job: DriftJob, *, stop: threading.Event | None = None) -> DriftResult | None:
        """Send the job and wait for its result; return None if `stop` is set before.

        Raises `DriftJobFailed` if the process ends without a result or the time is over. After an error, and after a
        stop, the process is gone; the next job starts another one.
        """
        try:
            answer = self._ask(job, stop)
        except BaseException:
            self.close()
            raise
        if answer is None:
            self.close()
            return None
        self._done += 1
        logger.info("drift: the report's process holds %d MB after %d reports", answer.memory_bytes >> 20, self._done)
        if self._done >= self._jobs:
            self.close()
        return answer.result

    def close(self) -> None:
        """End the process. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        self._reader.join()  # the end of the output; a pipe that is being read cannot be closed
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # a part of a job that it did not read any more
            process.stdin.close()
        with process:  # closes the other pipe
            process.wait()

    def __enter__(self) -> "DriftChild":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, job: DriftJob, stop: threading.Event | None) -> DriftAnswer | None:
        process = self._process if self._process is not None and self._process.poll() is None else self._start()
        deadline = time.monotonic() + self._timeout_seconds
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: the reader of its output says so below
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
        while True:
            try:
                line = self._answers.get(timeout=POLL_SECONDS)
                break
            except queue.Empty:
                if stop is not None and stop.is_set():
                    return None
                if time.monotonic() > deadline:
                    raise DriftJobFailed(f"no drift report after {self._timeout_seconds:g} s") from None
        if not line:
            raise DriftJobFailed(f"the drift report's process ended with {process.wait()}")
        try:
            return msgspec.json.decode(line, type=DriftAnswer)
        except msgspec.MsgspecError as error:
            raise DriftJobFailed(f"the drift report's process answered {line[:200]!r}: {error}") from error

    def _start(self) -> subprocess.Popen[bytes]:
        self.close()
        self._done = 0
        process = subprocess.Popen(
            [sys.executable, "-m", "monitoring.drift.job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "DO_NOT_TRACK": "1"},
        )
        answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        # A thread reads, because a pipe can be read with a timeout only on some systems. It ends with the pipe.
        self._reader = threading.Thread(target=_read, args=(process, answers), daemon=True)
        self._reader.start()
        self._process, self._answers = process, answers
        return process


def _read(process: subprocess.Popen[bytes], answers: "queue.SimpleQueue[bytes]") -> None:
    """Put each line of the output into the queue, and an empty one at its end."""
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put(b"")
