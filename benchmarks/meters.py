"""Meters: CPU time and memory of processes, from the kernel's accounting.

Arrives: process ids. Leaves: seconds of user and system time, resident megabytes. Next: every part of the benchmark.

Contenders are compared by CPU time and not by the clock. On a machine with other load, the same run takes two to three
times as long by the clock, but at most 1.5 times as much CPU.
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
    """A measurement: the number of processed events, the CPU time and the clock time (seconds)."""

    events: int
    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True)
class Span:
    """The difference of two marks."""

    events: int
    cpu_seconds: float
    wall_seconds: float

    @classmethod
    def between(cls, first: Mark, last: Mark) -> "Span":
        """Return the span from `first` to `last`."""
        return cls(
            last.events - first.events,
            last.cpu_seconds - first.cpu_seconds,
            last.wall_seconds - first.wall_seconds,
        )

    @classmethod
    def read(cls, path: Path) -> "Span":
        """Read the span that a child process wrote (`Meter`)."""
        return cls(**json.loads(path.read_text()))

    @property
    def events_per_cpu_second(self) -> float:
        """The figure for the comparison of contenders."""
        return self.events / self.cpu_seconds

    @property
    def events_per_second(self) -> float:
        """The rate by the clock, which depends on other load on the machine."""
        return self.events / self.wall_seconds

    @property
    def cpu_us(self) -> float:
        """CPU microseconds for each event."""
        return self.cpu_seconds / self.events * 1e6


def own_mark(events: int) -> Mark:
    """Return a mark of this process now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Mark(events, used.ru_utime + used.ru_stime, time.monotonic())


def cpu_seconds(pid: int, *, family: bool = False) -> float:
    """Return user and system time of a process so far. `family` adds its children, running and ended."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    seconds = float(own.user + own.system)
    if family:
        seconds += own.children_user + own.children_system
        for child in process.children(recursive=True):
            try:
                used = child.cpu_times()
            except psutil.NoSuchProcess:  # it has ended since the listing
                continue
            seconds += used.user + used.system
    return seconds


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (10^6 bytes)."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def proportional_mb(pid: int) -> float:
    """Return the memory of a process and its children in MB (10^6 bytes). Pages that they share count once."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(float(process.memory_full_info().pss) for process in family) / 1e6


class PeakMemory:
    """Watches processes. `stop` returns the largest resident size of any of them, in MB."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._peak = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Stop the watch and return the peak in MB."""
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
    """Counts events in a child process and writes the span after the first `skip` of `total` events to `output`."""

    def __init__(self, total: int, skip: int, output: Path) -> None:
        self._total = total
        self._skip = skip
        self._output = output
        self._done = 0
        self._first: Mark | None = None

    def add(self, events: int) -> bool:
        """Count more events. Return True when all events are counted."""
        self._done += events
        if self._first is None and self._done >= self._skip:
            self._first = own_mark(self._done)
        if self._done < self._total or self._first is None:
            return False
        write_json(self._output, asdict(Span.between(self._first, own_mark(self._done))))
        return True


def write_json(path: Path, value: object) -> None:
    """Write the file with a rename, so a reader that waits for it never reads half of it."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(value))
    unfinished.replace(path)
