"""Ray process: lets a Ray make the lists of one publication, from a process of its own that ends with it.

Arrives: a `ListsJob`, and the user keys of blocks. Leaves: the packed lists of each block, as they are ready. Next:
`serving.publication` writes them. `serving.ray_lists` is what the workers do.

Ray takes the signals of the process that opens it, and ends it a minute after the cluster is lost; its memory stays.
So the publisher opens it in another process, and the end of that one is an error, after which it tries again. Whoever
waits for a block looks around every second. A stop ends the process, which closes the Ray.
"""

import atexit
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from graphstore.arrays import IntArray
from graphstore.progress import Progress
from serving.publication import Block, Made
from serving.ray_lists import BlockTask, ListsJob, lists_by_ray, make_block
from training.benchmark.isolated import reporting
from training.cluster.ray_cluster import joined_ray, local_ray, ray_directory
from training.cluster.ray_tasks import LOOK_SECONDS, RayFailed, Workers
from training.process import SpawnedProcess, SpawnedProcessFailed

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0
"""A Ray that brings no block for so long is given up: it may have lost all its workers, or others may hold them."""


@dataclass(frozen=True)
class RayEngine:
    """Makes lists by a Ray that is there for one publication."""

    address: str | None = None
    """The address of a running cluster. None: an own Ray on this machine."""
    workers: int | None = None
    """The processes of an own Ray. None: one for each processor."""
    make: Callable[[ListsJob, BlockTask], list[bytes]] = make_block
    """Makes a block in a worker."""
    patience_seconds: float = PATIENCE_SECONDS

    @classmethod
    def of(cls, named: str) -> Self | None:
        """Return the engine that the setting `publisher_ray` names; None where it is empty."""
        if not named:
            return None
        return cls(workers=int(named)) if named.isdecimal() else cls(address=named)

    def lists(self, job: ListsJob, blocks: Sequence[Block], look: Callable[[], None]) -> Made:
        """Yield the lists of the blocks as they are ready. `look` is called every second; what it raises ends the Ray.

        Raises `RayFailed` when there is no Ray, its workers die again and again, it brings nothing for
        `patience_seconds`, or its process dies; and `training.process.FaultInProcess`.
        """
        if not blocks:
            return
        since = time.monotonic()

        def wait(_line: str, _share: float) -> None:
            look()
            if time.monotonic() - since > self.patience_seconds:
                raise RayFailed(f"no block of {job.model_version} has come for {self.patience_seconds:,.0f} s")

        keys = [np.array(block, dtype=np.int64) for block in blocks]
        with ray_directory() as directory, SpawnedProcess() as process, _told():
            process.call(_begin, self, job, keys, directory, progress=wait)
            for _ in blocks:
                yield process.call(_next, progress=wait)
                since = time.monotonic()
            try:
                workers: Workers = process.call(end, progress=wait)
            except (SpawnedProcessFailed, RayFailed) as error:  # all lists are made: nothing to do again
                logger.warning("the Ray that has made the lists of %s did not close: %s", job.model_version, error)
                return
        for line in workers.lines():
            logger.info("%s by a Ray, %s", job.model_version, line)

    def opened(self, directory: Path) -> AbstractContextManager[int]:
        """Start the Ray, or join it. Yields how many tasks run at once. Raises their errors."""
        if self.address is None:
            return local_ray(self.workers, directory=directory)
        return joined_ray(self.address)


@contextmanager
def _told() -> Iterator[None]:
    """Say of an error of the process whose it is."""
    try:
        yield
    except SpawnedProcessFailed as error:
        raise RayFailed(f"the Ray that makes the lists: {error}") from error


@dataclass(frozen=True)
class _Running:
    """What the process holds between two calls."""

    stack: ExitStack
    made: Made
    workers: Workers


_running: list[_Running] = []
"""In the process: its Ray."""


def _begin(engine: RayEngine, job: ListsJob, blocks: list[IntArray], directory: Path, progress: Progress) -> None:
    stack, workers = ExitStack(), Workers()
    atexit.register(stack.close)  # of a publication that was not finished
    with _reporting(progress):
        at_once = stack.enter_context(engine.opened(directory))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Ray's own handler prints the stack
    # All calls have one connection, so this progress is also that of later calls.
    look = partial(progress, "waits for a block", 0.0)
    made = lists_by_ray(job, blocks, at_once=at_once, workers=workers, look=look, make=engine.make)
    _running.append(_Running(stack, made, workers))


def _next(_progress: Progress) -> tuple[int, list[bytes]]:
    (running,) = _running
    return next(running.made)


def end(progress: Progress) -> Workers:
    """Close the Ray: this runs in the process. Return who has made which block."""
    running = _running.pop()
    with _reporting(progress):
        running.stack.close()
    return running.workers


@contextmanager
def _reporting(progress: Progress) -> Iterator[None]:
    """Report every second that Ray starts or ends."""
    with reporting(progress, time.process_time, every=LOOK_SECONDS) as report:
        report("Ray starts or ends", 0.0)
        yield
