"""Ray blocks: makes the lists of a snapshot's blocks in several processes, on one machine or on many.

Arrives: the paths of a bundle and a snapshot, and numbers of blocks. Leaves: `Lists` in the order of the blocks. Next:
`training.export.batch_lists` writes them to a file, as those of one process.

A task gets a `ScoringJob` and the number of a block, and returns a `BlockDone`: paths, ids and numbers, which Ray
carries with pickle. Models and snapshots are not sent: each worker opens the files by their paths, once, and refuses
files that are not those of the caller. A list depends on nothing else, so a block that is made again after its worker
has died is the same. A few blocks for each worker are on their way at once; the others wait, so the memory of the
caller does not grow with the number of shoppers.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Self

from graphstore.errors import UserError
from graphstore.snapshots.files import load_snapshot
from training.benchmark.isolated import peak_rss_mb
from training.export.block_lists import BlockLists, Lists
from training.models.bundle import load_bundle, sha256_of

MAX_RETRIES = 3
"""A block whose worker dies is made again so many times: a block that kills its worker each time ends the job."""
AHEAD = 2
"""Blocks on their way for each worker: one that is made, and one that waits for its turn."""


class RayFailed(UserError):
    """A block could not be made: its workers died, or a worker sees other files than the caller."""


@dataclass(frozen=True)
class ScoringJob:
    """What all blocks of a run have in common. The paths are absolute: workers have directories of their own."""

    bundle: str
    snapshot: str
    fingerprint: str
    """Of the files in both directories, as the caller sees them."""
    k: int
    history_limit: int
    block_users: int

    @classmethod
    def of(cls, bundle: Path, snapshot: Path, *, k: int, history_limit: int, block_users: int) -> Self:
        """Return the job on these directories, with the fingerprint of their files."""
        bundle, snapshot = bundle.resolve(), snapshot.resolve()
        return cls(str(bundle), str(snapshot), fingerprint(bundle, snapshot), k, history_limit, block_users)


@dataclass(frozen=True)
class BlockDone:
    """The lists of one block, and what made them."""

    lists: Lists
    node: str
    """The address of the machine."""
    pid: int
    peak_rss_mb: float
    """Peak memory of the worker until now, in MB of 10⁶ bytes."""


@dataclass
class Worker:
    """What one worker process has done. `peak_rss_mb` is in MB of 10⁶ bytes, with the model and the snapshot."""

    node: str
    pid: int
    blocks: int = 0
    peak_rss_mb: float = 0.0


@dataclass
class Workers:
    """Everybody who has made a block. A worker that has died is only there if it had finished one."""

    known: dict[tuple[str, int], Worker] = field(default_factory=dict)

    def note(self, done: BlockDone) -> None:
        """Count a block for its worker."""
        worker = self.known.setdefault((done.node, done.pid), Worker(done.node, done.pid))
        worker.blocks += 1
        worker.peak_rss_mb = max(worker.peak_rss_mb, round(done.peak_rss_mb, 1))

    def peak_mb_by_node(self) -> dict[str, float]:
        """Return the sum of the workers' peaks on each machine: it bounds what they had at any one time."""
        peaks: dict[str, float] = {}
        for worker in self.known.values():
            peaks[worker.node] = round(peaks.get(worker.node, 0.0) + worker.peak_rss_mb, 1)
        return peaks


def fingerprint(*directories: Path) -> str:
    """Return a SHA-256 over the names and the content of all files in the directories."""
    total = hashlib.sha256()
    for directory in directories:
        for file in sorted(directory.iterdir()):
            total.update(f"{file.name} {sha256_of(file)}\n".encode())
    return total.hexdigest()


def score_block(job: ScoringJob, block: int) -> BlockDone:
    """Make the lists of one block: this runs in a worker. Raises the errors of `BlockLists.lists`, and `RayFailed`."""
    from ray.util import get_node_ip_address

    lists = _opened(job).lists(block, k=job.k)
    return BlockDone(lists, get_node_ip_address(), os.getpid(), peak_rss_mb())


@lru_cache(maxsize=1)
def _opened(job: ScoringJob) -> BlockLists:
    """Open the files of a job, once in a worker."""
    import torch

    torch.set_num_threads(1)  # a task has one processor
    bundle, snapshot = Path(job.bundle), Path(job.snapshot)
    for directory in (bundle, snapshot):
        if not directory.is_dir():
            raise RayFailed(f"a worker has no {directory}: each machine needs the files at the same path")
    if fingerprint(bundle, snapshot) != job.fingerprint:
        raise RayFailed(f"a worker has other files in {bundle} or {snapshot}: each machine needs the same files")
    return BlockLists(
        load_bundle(bundle), load_snapshot(snapshot), history_limit=job.history_limit, block_users=job.block_users
    )


def lists_by_ray(
    job: ScoringJob,
    blocks: Sequence[int],
    *,
    at_once: int,
    workers: Workers,
    score: Callable[[ScoringJob, int], BlockDone] = score_block,
) -> Iterator[Lists]:
    """Yield the lists of the blocks, in their order, made by the Ray that this process is connected to.

    Args:
        job: What to score.
        blocks: Numbers of blocks.
        at_once: How many tasks the cluster runs at once.
        workers: Learns who has made which block.
        score: Makes a block in a worker. Ray finds it by the name of its module.

    Raises:
        RayFailed: A block's worker died `MAX_RETRIES` + 1 times, or has other files. Errors of `score` are raised as
            they are, and are not tried again.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    task = ray.remote(num_cpus=1, max_retries=MAX_RETRIES, retry_exceptions=False)(score)
    waiting = iter(blocks)
    handed = deque((block, task.remote(job, block)) for block in islice(waiting, AHEAD * at_once))
    while handed:
        block, promised = handed.popleft()
        try:
            done: BlockDone = ray.get(promised)
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            reason = str(error).strip().partition("\n")[0]
            raise RayFailed(
                f"block {block} of {job.block_users:,} shoppers has no lists after {MAX_RETRIES + 1} tries: {reason}"
            ) from error
        workers.note(done)
        handed.extend((block, task.remote(job, block)) for block in islice(waiting, 1))
        yield done.lists
