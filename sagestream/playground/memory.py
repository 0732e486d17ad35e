"""Peak memory of a whole family of processes."""

import threading

import psutil

INTERVAL_SECONDS = 0.5


class PeakMemory:
    """Watches this process and all its descendants; `peak_mb` is the largest sum of resident sizes seen.

    Pages that processes share are counted once for each: the figure is an upper bound.
    """

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> float:
        """Stop; the peak in MB (10^6 bytes)."""
        self._stop.set()
        self._thread.join()
        return self.peak_mb

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.peak_mb = max(self.peak_mb, family_mb())
            self._stop.wait(INTERVAL_SECONDS)


def family_mb() -> float:
    """Resident MB of this process and all its descendants now."""
    me = psutil.Process()
    total = 0
    for process in [me, *me.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # it ended since it was listed
            continue
    return total / 1e6
