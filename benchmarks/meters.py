"""CPU time and memory of processes, from the kernel's own books.

Arrives: process ids. Leaves: seconds of user and system time, resident megabytes. Next: every part of the benchmark.

CPU time and not the clock is what contenders are compared by: on a machine that others use, too, the same run takes
two or three times as long by the clock, and at most half as much again of CPU.
"""

import json
import resource
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

INTERVAL_SECONDS = 0.25


@dataclass(frozen=True)
class Mark:
    """A moment: how many events were through, at what CPU time and at what clock (seconds)."""

    events: int
    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True)
class Span:
    """What lies between two marks."""

    events: int
    cpu_seconds: float
    wall_seconds: float

    @classmethod
    def between(cls, first: Mark, last: Mark) -> "Span":
        """From `first` to `last`."""
        return cls(
            last.events - first.events,
            last.cpu_seconds - first.cpu_seconds,
            last.wall_seconds - first.wall_seconds,
        )

    @classmethod
    def read(cls, path: Path) -> "Span":
        """What a child wrote (`Meter`)."""
        return cls(**json.loads(path.read_text()))

    @property
    def events_per_cpu_second(self) -> float:
        """The figure that contenders are compared by."""
        return self.events / self.cpu_seconds

    @property
    def events_per_second(self) -> float:
        """By the clock, as busy as the machine was."""
        return self.events / self.wall_seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU an event."""
        return self.cpu_seconds / self.events * 1e6


def own_mark(events: int) -> Mark:
    """This process now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Mark(events, used.ru_utime + used.ru_stime, time.monotonic())


def cpu_seconds(pid: int, *, family: bool = False) -> float:
    """User and system time of a process so far; with `family` also of its children, living and ended."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    seconds = float(own.user + own.system)
    if family:
        seconds += own.children_user + own.children_system
        for child in process.children(recursive=True):
            try:
                used = child.cpu_times()
            except psutil.NoSuchProcess:  # it ended since it was listed
                continue
            seconds += used.user + used.system
    return seconds


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


class PeakMemory:
    """Watches processes; `stop` gives the largest resident size that any one of them reached, in MB."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._peak = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """End the watch."""
        self._stop.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while True:
            for pid in self._pids:
                if psutil.pid_exists(pid):
                    self._peak = max(self._peak, resident_mb(pid))
            if self._stop.wait(INTERVAL_SECONDS):
                return


class Meter:
    """Counts events inside a child process and writes the span behind the first `skip` of `total` to `output`."""

    def __init__(self, total: int, skip: int, output: Path) -> None:
        self._total = total
        self._skip = skip
        self._output = output
        self._done = 0
        self._first: Mark | None = None

    def add(self, events: int) -> bool:
        """So many more are through; True once all are."""
        self._done += events
        if self._first is None and self._done >= self._skip:
            self._first = own_mark(self._done)
        if self._done < self._total or self._first is None:
            return False
        write_json(self._output, asdict(Span.between(self._first, own_mark(self._done))))
        return True


def write_json(path: Path, value: object) -> None:
    """Whole or not at all: whoever waits for the file never reads half of it."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(value))
    unfinished.replace(path)
