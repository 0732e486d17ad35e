"""Isolated: runs a function in its own process and measures its cost.

Arrives: a module-level function and its arguments, all picklable. Leaves: the returned value, with CPU seconds and peak
memory. Next: `training.benchmark.run` fits each model in this way, so models do not share caches or memory.
"""

import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphstore.errors import UserError
from training.process import exit_with_parent

if TYPE_CHECKING:
    from graphstore.progress import Progress

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

STOP_SECONDS = 5.0


class IsolatedProcessFailed(UserError):
    """The function refused or its process died. The message tells which."""


class FaultInProcess(RuntimeError):
    """The function raised an unexpected error. The message is its traceback."""


@dataclass(frozen=True)
class Cost:
    """The cost of one call."""

    cpu_seconds: float
    """User and system time of the call, without imports."""
    peak_rss_mb: float
    """Peak memory of the process, in MB of 10⁶ bytes, including the interpreter and its libraries."""


def run_isolated(function: Callable[..., Any], *arguments: Any, progress: "Progress") -> tuple[Any, Cost]:
    """Call `function(*arguments, progress)` in a spawned process with one thread.

    Raises `IsolatedProcessFailed` and `FaultInProcess`.
    """
    context = multiprocessing.get_context("spawn")  # a fork shares the memory of this process and hides its size
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(sender, function, arguments), daemon=True)
    try:
        with _one_thread(), _without_interrupts():
            process.start()
        sender.close()
        while True:
            kind, *values = receiver.recv()
            if kind == "progress":
                progress(*values)
            elif kind == "refused":
                raise IsolatedProcessFailed(values[0])
            elif kind == "failed":
                raise FaultInProcess(values[0])
            else:
                process.join(STOP_SECONDS)  # a normal exit frees the resources of its libraries
                return values[0], values[1]
    except (EOFError, BrokenPipeError):
        process.join(STOP_SECONDS)
        code = process.exitcode
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        hint = ": out of memory?" if code == -signal.SIGKILL else ""
        raise IsolatedProcessFailed(f"its process ended {how}{hint}") from None
    finally:
        if process.pid is not None:
            process.terminate()  # before the pipe closes, otherwise the process prints an error
            process.join(STOP_SECONDS)
        receiver.close()


def _call(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    import torch

    exit_with_parent()
    torch.set_num_threads(1)

    def report(line: str, share: float) -> None:
        sender.send(("progress", line, share))

    before = _cpu_seconds()
    try:
        value = function(*arguments, report)
    except UserError as error:
        sender.send(("refused", str(error)))
        return
    except Exception:  # noqa: BLE001 - reported to the caller, with its traceback
        sender.send(("failed", traceback.format_exc()))
        return
    sender.send(("done", value, Cost(_cpu_seconds() - before, peak_rss_mb())))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Set one thread. Libraries read these variables when they load, so set them before the process starts."""
    before = {name: os.environ.get(name) for name in THREAD_SETTINGS}
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in a process started in this context, even during its imports. The caller stops the process."""
    resource_tracker.ensure_running()  # started later, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
