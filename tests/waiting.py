"""Waiting for what must come to pass, in place of sleeping as long as it usually takes."""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

_T = TypeVar("_T")


def wait_until(condition: Callable[[], _T], *, seconds: float = 180.0, told: Callable[[], object] = str) -> _T:
    """What `condition` returns, once that is true. The time only bounds a broken run, which `told` explains."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, told() or "it did not come to pass"
        time.sleep(0.02)
    return found


@contextmanager
def without_waiting(seconds: float) -> Iterator[None]:
    """What is inside ends within the time, which is well under the wait that must not be.

    No measurement of speed, which depends on who else uses the machine: the time is many times what the work takes.
    """
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"it took {took:.1f} s, so it waited"


def join_others(before: Collection[threading.Thread], seconds: float = 30.0) -> list[str]:
    """Wait for the threads that were started since `before`; the names of those that live on."""
    others = set(threading.enumerate()) - set(before)
    for thread in others:
        thread.join(seconds)
    return sorted(thread.name for thread in others if thread.is_alive())
