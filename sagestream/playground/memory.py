"""Memory: measures the memory of a process and its descendants, at its peak and in quiet running.

Arrives: this process and its descendants. Leaves: megabytes (10^6 bytes). Next: `sagestream.playground.outcome` shows
them. Quiet running means that only the long-running processes run.

The measure is the proportional set size (PSS) of Linux. When n processes share a page, PSS adds 1/n of it to each
process, so the sum counts the page once. The resident set size (RSS) counts it n times. On a system without PSS, RSS
is used as an upper bound, see `HAS_PSS`.

To compute the PSS of a process, the kernel walks all its pages, which takes some milliseconds. The sum of RSS is never
below the sum of PSS. So PSS is read only when the sum of RSS allows a new peak, and every few seconds in quiet running.
"""

import statistics
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import psutil

INTERVAL_SECONDS = 0.5
QUIET_INTERVAL_SECONDS = 3.0
QUIET_SAMPLES = 200
"""The number of newest samples to keep: ten minutes."""

HAS_PSS = Path("/proc/self/smaps_rollup").exists()
"""Whether the system reports the proportional set size of a process."""


class MemoryWatch:
    """Measures this process and all its descendants in a thread, until `stop`."""

    def __init__(self) -> None:
        self.peak_pss_mb = 0.0
        self.peak_rss_mb = 0.0
        self._quiet: deque[tuple[int, float]] = deque(maxlen=QUIET_SAMPLES)  # number of processes, PSS
        self._next_quiet = float("inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. The figures stay available."""
        self._stop.set()
        self._thread.join()

    def all_running(self) -> None:
        """Start the quiet samples, because every long-running process runs now."""
        self._next_quiet = time.monotonic()

    @property
    def quiet_pss_mb(self) -> float | None:
        """The median PSS (MB) over the samples with the fewest processes, or None before `all_running`.

        In these samples neither a training nor a report runs beside the long-running processes.
        """
        seen = list(self._quiet)
        fewest = min((processes for processes, _ in seen), default=0)
        return statistics.median(pss for processes, pss in seen if processes == fewest) if seen else None

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._look(time.monotonic())
            self._stop.wait(INTERVAL_SECONDS)

    def _look(self, now: float) -> None:
        processes = family()
        rss = rss_mb(processes)
        self.peak_rss_mb = max(self.peak_rss_mb, rss)
        quiet = now >= self._next_quiet
        if not quiet and rss <= self.peak_pss_mb:
            return
        pss = pss_mb(processes)
        self.peak_pss_mb = max(self.peak_pss_mb, pss)
        if quiet:
            self._next_quiet = now + QUIET_INTERVAL_SECONDS
            self._quiet.append((len(processes), pss))


def family() -> list[psutil.Process]:
    """Return this process and all its descendants."""
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def rss_mb(processes: Sequence[psutil.Process]) -> float:
    """Return the sum of the resident set sizes (MB). An ended process counts 0."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def pss_mb(processes: Sequence[psutil.Process]) -> float:
    """Return the sum of the proportional set sizes (MB), or of the resident sizes on a system without PSS.

    An ended process counts 0.
    """
    if not HAS_PSS:
        return rss_mb(processes)
    return sum(_pss_kib(process.pid) for process in processes) * 1024 / 1e6


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # A zombie process has no such line.
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
