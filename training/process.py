"""Ends a spawned process from within, for reasons of others: its parent is gone, or it was asked to give up.

Arrives: something to wait for. Leaves: nothing. Next: `training.lifecycle.scheduler` and `training.benchmark.isolated`
begin their children with it. A process that computes for hours must not go on when nobody waits for its result.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable


def exit_with_parent() -> None:
    """Called in a child of `multiprocessing`: it ends as soon as its parent has, however that was killed."""
    exit_after(_parent_is_gone)


def exit_after(ending: Callable[[], object]) -> None:
    """End this process, in the middle of whatever it does, when `ending` returns."""
    threading.Thread(target=_exit_after, args=(ending,), daemon=True).start()


def _parent_is_gone() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()


def _exit_after(ending: Callable[[], object]) -> None:
    ending()
    os._exit(1)  # not sys.exit: that would end this thread alone
