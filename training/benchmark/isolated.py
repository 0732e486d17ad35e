"""A function in a process of its own, and what it cost there.

Arrives: a function of a module and its arguments, all of which can be sent to another process. Leaves: what it
returned, with CPU seconds and peak memory. Next: `training.benchmark.run` fits each model so: none pays for another.
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

from training.process import exit_with_parent

if TYPE_CHECKING:
    from graphstore.progress import Progress

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

STOP_SECONDS = 5.0


class IsolatedProcessFailed(RuntimeError):
    """The function raised, or its process died; the message says which."""


@dataclass(frozen=True)
class Cost:
    """What a call took of its process."""

    cpu_seconds: float
    """User and system time from the call to its return, without imports."""
    peak_rss_mb: float
    """The most memory that the process ever held, the interpreter and its libraries included."""


def isolated(function: Callable[..., Any], *arguments: Any, progress: "Progress") -> tuple[Any, Cost]:
    """Call `function(*arguments, progress)` in a spawned process with one thread. Raises `IsolatedProcessFailed`."""
    context = multiprocessing.get_context("spawn")  # a fork would share, and so hide, the memory of this process
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
            elif kind == "failed":
                raise IsolatedProcessFailed(values[0])
            else:
                process.join(STOP_SECONDS)  # ended by itself it gives back what its libraries hold
                return values[0], values[1]
    except (EOFError, BrokenPipeError):
        process.join(STOP_SECONDS)
        code = process.exitcode
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        hint = ": out of memory?" if code == -signal.SIGKILL else ""
        raise IsolatedProcessFailed(f"its process ended {how}{hint}") from None
    finally:
        if process.pid is not None:
            process.terminate()  # before the pipe goes, or it would complain
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
    except Exception as error:  # noqa: BLE001 - told to whoever called, with its place
        last = traceback.extract_tb(error.__traceback__)[-1]
        sender.send(("failed", f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"))
        return
    sender.send(("done", value, Cost(_cpu_seconds() - before, peak_rss_mb())))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Libraries read these when they are loaded: they must stand before the process begins."""
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
    """A process begun meanwhile never sees Ctrl-C, not even in its imports: whoever called ends it."""
    resource_tracker.ensure_running()  # begun later, it would let interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_rss_mb() -> float:
    """The most memory (MB of 10⁶ bytes) that this process held.

    Linux hands `ru_maxrss` on from the process that spawned this one, so that a small child of a big parent looks big;
    `VmHWM` belongs to the process alone.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if line is not None:
            return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
