"""Isolated: runs a function in its own process and measures its cost.

Arrives: a module-level function and its arguments, all picklable. Leaves: the returned value, with CPU seconds and peak
memory. Next: `training.benchmark.run` fits each model in this way, so models do not share caches or memory.
"""

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphstore.progress import Progress
from training.process import SpawnedProcess

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Cost:
    """The cost of one call."""

    cpu_seconds: float
    """User and system time of the call, without imports."""
    peak_rss_mb: float
    """Peak memory of the process, in MB of 10⁶ bytes, including the interpreter and its libraries."""


def run_isolated(function: Callable[..., Any], *arguments: Any, progress: Progress) -> tuple[Any, Cost]:
    """Call `function(*arguments, progress)` in a spawned process with one thread.

    Raises `training.process.SpawnedProcessFailed` and `training.process.FaultInProcess`.
    """
    with SpawnedProcess(environment=dict.fromkeys(THREAD_SETTINGS, "1")) as process:
        value, cost = process.call(_measured, function, *arguments, progress=progress)
    return value, cost


def _measured(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Cost]:
    import torch

    torch.set_num_threads(1)
    before = _cpu_seconds()
    value = function(*arguments)
    return value, Cost(_cpu_seconds() - before, peak_rss_mb())


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
