"""Ray blocks: makes the lists of a snapshot's blocks in several processes, on one machine or on many.

Arrives: the paths of a bundle and a snapshot, and numbers of blocks. Leaves: `Lists` in the order of the blocks. Next:
`training.export.batch_lists` writes them to a file, as those of one process.

Workers get paths and numbers, and open the files by themselves: see `training.cluster.ray_tasks`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from graphstore.snapshots.files import load_snapshot
from training.cluster.ray_tasks import AHEAD, RayTasks, Workers
from training.cluster.shared_files import SharedFiles
from training.export.block_lists import BlockLists, Lists
from training.models.bundle import load_bundle


@dataclass(frozen=True)
class ScoringJob:
    """What all blocks of a run have in common."""

    files: SharedFiles
    """The bundle, then the snapshot."""
    k: int
    history_limit: int
    block_users: int


def score_block(job: ScoringJob, block: int) -> Lists:
    """Make the lists of one block: this runs in a worker. Raises the errors of `BlockLists.lists`, and `RayFailed`."""
    return _opened(job).lists(block, k=job.k)


@lru_cache(maxsize=1)
def _opened(job: ScoringJob) -> BlockLists:
    """Open the files of a job, once in a worker."""
    import torch

    torch.set_num_threads(1)  # a task has one processor
    bundle, snapshot = job.files.checked()
    return BlockLists(
        load_bundle(bundle), load_snapshot(snapshot), history_limit=job.history_limit, block_users=job.block_users
    )


def lists_by_ray(
    job: ScoringJob,
    blocks: Sequence[int],
    *,
    at_once: int,
    workers: Workers,
    score: Callable[[ScoringJob, int], Lists] = score_block,
) -> Iterator[Lists]:
    """Yield the lists of the blocks, in their order, made by the Ray that this process is connected to.

    Args:
        job: What to score.
        blocks: Numbers of blocks.
        at_once: How many tasks the cluster runs at once.
        workers: Learns who has made which block.
        score: Makes a block in a worker.

    Raises the errors of `RayTasks.results`.
    """
    tasks = RayTasks(AHEAD * at_once, workers)
    made = tasks.results(score, job, blocks, name=lambda block: f"block {block} of {job.block_users:,} shoppers")
    return (lists for _, lists in made)
