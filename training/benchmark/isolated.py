"""Isolated: runs a function in its own process and measures its cost.

Arrives: a module-level function and its arguments, all picklable. Leaves: the returned value, with CPU seconds and peak
memory. Next: `training.benchmark.run` fits each model in this way, so models do not share caches or memory.
"""

import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphstore.progress import Progress
from training.process import SpawnedProcess

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

HEARTBEAT_SECONDS = 10.0
"""A call that reports nothing repeats its last line after this time, with its CPU seconds."""


@dataclass(frozen=True)
class Cost:
    """The cost of one call."""

    cpu_seconds: float
    """User and system time of the call, without imports."""
    peak_rss_mb: float
    """Peak memory of the process, in MB of 10⁶ bytes, including the interpreter and its libraries."""


def run_isolated(function: Callable[..., Any], *arguments: Any, progress: Progress) -> tuple[Any, Cost]:
    """Call `function(*arguments, progress)` in a spawned process with one thread.

    Each line of the progress ends with the CPU seconds of the call so far. A long step repeats its line.

    Raises `training.process.SpawnedProcessFailed` and `training.process.FaultInProcess`.
    """
    with SpawnedProcess(environment=dict.fromkeys(THREAD_SETTINGS, "1")) as process:
        value, cost = process.call(_measured, function, *arguments, progress=progress)
    return value, cost


def _measured(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Cost]:
    import torch

    torch.set_num_threads(1)
    *given, progress = arguments
    before = _cpu_seconds()
    with reporting(progress, lambda: _cpu_seconds() - before, every=HEARTBEAT_SECONDS) as report:
        value = function(*given, report)
    return value, Cost(_cpu_seconds() - before, peak_rss_mb())


@contextmanager
def reporting(progress: Progress, cpu_seconds: Callable[[], float], *, every: float) -> Iterator[Progress]:
    """Yield a progress that adds CPU seconds to each line, and repeats the last line all `every` seconds.

    A thread repeats it, because a solution of a large system may take minutes. It ends with the block, so no line comes
    after the result.
    """
    lock = threading.Lock()  # a pipe takes the lines of one thread at a time
    ended = threading.Event()
    last: list[tuple[str, float]] = []

    def tell() -> None:
        line, share = last[0]
        progress(f"{line} · {cpu_seconds():.0f} CPU s", share)

    def report(line: str, share: float) -> None:
        with lock:
            last[:] = [(line, share)]
            tell()

    def repeat() -> None:
        while not ended.wait(every):
            with lock:
                if last:
                    tell()

    heart = threading.Thread(target=repeat, daemon=True)
    heart.start()
    try:
        yield report
    finally:
        ended.set()
        heart.join()


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_rss_mb() -> float:
    """Return the peak memory of this process in MB (10⁶ bytes).

    On Linux a spawned process inherits `ru_maxrss`, so a small child of a big parent looks big. `VmHWM` counts only the
    process itself.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if line is not None:
            return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
