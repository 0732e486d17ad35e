"""Memory of a whole family of processes: at its peak, and while only the long-running ones are there.

Arrives: this process and its descendants. Leaves: megabytes (10^6 bytes). Next: `sagestream.playground.outcome`.

The figure is the proportional set size (PSS) of Linux: of a page that n processes share each holds one n-th, so that
the sum over a family counts it once. Resident sizes (RSS) count it n times. Where the system tells no PSS, the RSS is
taken, an upper bound; `HAS_PSS` says which.

To add up a process' PSS the kernel walks all its pages, some milliseconds for each. So it is asked for only where the
sum of RSS, which is never below that of PSS, allows a new peak, and every few seconds in quiet running.
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
"""The newest that are kept: ten minutes."""

HAS_PSS = Path("/proc/self/smaps_rollup").exists()
"""Whether the system tells the proportional set size of a process."""


class MemoryWatch:
    """Watches this process and all its descendants in a thread, until it is stopped."""

    def __init__(self) -> None:
        self.peak_pss_mb = 0.0
        self.peak_rss_mb = 0.0
        self._quiet: deque[tuple[int, float]] = deque(maxlen=QUIET_SAMPLES)  # number of processes, PSS
        self._next_quiet = float("inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch; the figures stay."""
        self._stop.set()
        self._thread.join()

    def all_running(self) -> None:
        """From now on every long-running process is there: the quiet figure is of this time."""
        self._next_quiet = time.monotonic()

    @property
    def quiet_pss_mb(self) -> float | None:
        """The median of the moments with the fewest processes, when neither a training nor a report ran beside the
        long-running ones; None before `all_running`."""
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
    """This process and all its descendants."""
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def rss_mb(processes: Sequence[psutil.Process]) -> float:
    """The sum of their resident sizes; one that has ended counts nothing."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def pss_mb(processes: Sequence[psutil.Process]) -> float:
    """The sum of their proportional set sizes, of their resident sizes where the system tells no other; one that has
    ended counts nothing."""
    if not HAS_PSS:
        return rss_mb(processes)
    return sum(_pss_kib(process.pid) for process in processes) * 1024 / 1e6


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # A process that has ended and was not waited for has no such line.
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
