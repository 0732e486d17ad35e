"""Exit of a spawned process when its parent ended, or when another condition is met.

Arrives: a function that returns when the process must end. Leaves: nothing. Next: `training.lifecycle.scheduler` and
`training.benchmark.isolated` call it first in their child processes. Without it, a child would compute for hours
although no process waits for its result.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable


def exit_with_parent() -> None:
    """Let a child of `multiprocessing` exit when its parent ends for any reason, including SIGKILL."""
    exit_after(_parent_is_gone)


def exit_after(ending: Callable[[], object]) -> None:
    """Exit this process immediately when `ending` returns. A thread calls `ending`."""
    threading.Thread(target=_exit_after, args=(ending,), daemon=True).start()


def _parent_is_gone() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()


def _exit_after(ending: Callable[[], object]) -> None:
    ending()
    os._exit(1)  # not sys.exit, which would end only this thread
