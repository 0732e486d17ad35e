"""A shop in SQL with a real champion, to which things came after the training: sales, and an item."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine

from serving.ranker import Ranker, SinceTraining, load_ranker
from serving.ray_lists import ListsJob
from serving.source import ShopSource
from tests.serving.toy import touch
from tests.training.toy_shop import shop_on_disk
from training.cluster.shared_files import SharedFiles
from training.config import TrainingConfig
from training.lifecycle.run import RunSpec, run_training
from training.options import TrainingOptions

SECRET = "hush-hush"
SHOPPERS = 40
MINUTE_MS = 60_000


@dataclass(frozen=True)
class RealShop:
    """A shop, and the time of its lists (epoch ms)."""

    source: ShopSource
    bundle: Path
    as_of: int
    url: str
    """The address of the database, with the secret in it."""

    @property
    def engine(self) -> Engine:
        return self.source.engine

    def ranker(self) -> Ranker:
        """The model, not yet up to date."""
        return load_ranker(self.bundle)

    def job(self) -> ListsJob:
        """What a publication now hands to workers."""
        since = SinceTraining.read(self.ranker(), self.source)
        files, limit = SharedFiles.of(self.bundle), self.source.history_limit
        return ListsJob(files, self.bundle.name, self.as_of, k=6, history_limit=limit, since=since)

    def later(self) -> "RealShop":
        """The same shop a minute later."""
        return replace(self, as_of=self.as_of + MINUTE_MS)


@contextmanager
def real_shop(directory: Path) -> Iterator[RealShop]:
    """Open the shop. It is closed with the block."""
    spec, options = RunSpec("closed_form", "test"), TrainingOptions(seed=0)
    (directory / SECRET).symlink_to(directory / "state")
    with shop_on_disk(directory / "state", days=12) as (graph, engine, now):
        run = run_training(engine, spec, graph=graph, config=TrainingConfig(), now=lambda: now, options=options)
        for number in range(6):
            touch(engine, f"u{number}", "i3", now + number)
            touch(engine, f"u{number}", "newcomer", now + number)
        url = f"sqlite:///{directory / SECRET / 'graph.db'}"
        yield RealShop(ShopSource(engine), Path(run.bundle), now + MINUTE_MS, url)
