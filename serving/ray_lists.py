"""Ray lists: makes the published lists of blocks of shoppers in the workers of a Ray.

Arrives: a `ListsJob`, and the user keys of blocks. Leaves: the packed lists of each block. Next: `serving.publication`
writes them to Redis, as those of one process. `serving.ray_process` opens the Ray.

A worker opens the bundle by its path and the database by its own settings, once in a publication; the address of the
database is a secret and is never sent. What came after the training is read once, by the publisher, and goes with the
job: all blocks see the same trend, also one that is made again after its worker has died.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from graphstore.arrays import IntArray
from graphstore.config import PREFIX, GraphstoreConfig
from graphstore.errors import UserError, reason
from graphstore.session import open_existing
from serving.publication import Made, lists_of
from serving.ranker import Ranker, SinceTraining, load_ranker
from serving.source import ShopSource
from training.cluster.ray_tasks import AHEAD, RayFailed, RayTasks, Workers
from training.cluster.shared_files import SharedFiles

BlockTask = tuple[int, IntArray]
"""The number of a block, and its user keys."""

REMEDY = f"set {PREFIX}DATABASE_URL for it as for the publisher"


@dataclass(frozen=True)
class ListsJob:
    """What all blocks of a publication have in common."""

    files: SharedFiles
    """The bundle."""
    model_version: str
    as_of: int
    """The time of the lists, epoch ms. It tells the publications of a model apart."""
    k: int
    history_limit: int
    since: SinceTraining = field(compare=False, repr=False)


def make_block(job: ListsJob, task: BlockTask) -> list[bytes]:
    """Make the packed lists of one block: this runs in a worker.

    Raises `RayFailed` for other files or another database than the publisher's, and for a database that is away;
    `serving.ranker.UnusableModel`; and the errors of the model.
    """
    _, keys = task
    try:
        ranker, shop = _opened(job)
        return lists_of(ranker, shop, keys.tolist(), as_of=job.as_of, k=job.k)
    except SQLAlchemyError as error:  # its statement and the notes stay here
        raise RayFailed(f"a worker cannot read the database: {reason(error)}") from None


@lru_cache(maxsize=1)
def _opened(job: ListsJob) -> tuple[Ranker, ShopSource]:
    """Open the bundle and the database, once in a worker."""
    (bundle,) = job.files.checked()
    ranker = load_ranker(bundle)
    job.since.tell(ranker)
    shop = ShopSource(_database(), job.history_limit)
    if shop.bundle(job.model_version) is None:
        raise RayFailed(f"the database of a worker does not know {job.model_version}: {REMEDY}")
    return ranker, shop


def _database() -> Engine:
    """Open the database that this worker's environment names. Errors never repeat its address."""
    try:
        url = GraphstoreConfig().sqlalchemy_url
    except ValidationError as error:
        told = [f"{PREFIX}{str(found['loc'][0]).upper()}: {found['msg']}" for found in error.errors()]
        raise RayFailed(f"the environment of a worker: {'; '.join(told)}") from None
    except SettingsError as error:  # of a file with a secret
        raise RayFailed(f"the environment of a worker: {error.__cause__ or error}") from None
    try:
        return open_existing(url)
    except UserError:
        raise RayFailed(f"a worker finds no database: {REMEDY}") from None


def lists_by_ray(
    job: ListsJob,
    blocks: Sequence[IntArray],
    *,
    at_once: int,
    workers: Workers,
    look: Callable[[], None],
    make: Callable[[ListsJob, BlockTask], list[bytes]] = make_block,
) -> Made:
    """Yield the lists of the blocks as they are ready, made by the Ray that this process is connected to.

    Args:
        job: What to publish.
        blocks: The user keys of each block.
        at_once: How many tasks the cluster runs at once.
        workers: Learns who has made which block.
        look: Called while no block comes. What it raises ends the job.
        make: Makes a block in a worker.

    Raises the errors of `RayTasks.results`.
    """
    tasks = RayTasks(AHEAD * at_once, workers, look, in_order=False)
    name = f"of {len(blocks):,} of {job.model_version}"
    for (number, _), packed in tasks.results(make, job, enumerate(blocks), name=lambda task: f"block {task[0]} {name}"):
        yield number, packed
