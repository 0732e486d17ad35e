"""Shop: the real loop in this process, with the time as an argument.

Arrives: events and times from `sagestream.simulation.run`. Leaves: lists as a reader gets them. Next: `policies`
decides when the shop trains.

All steps are those of the processes: the worker's sink, near-line, the publisher, the monitor, the rules of the
scheduler and `run_training`, on SQLite and Redis. Only Kafka and HTTP are left out, and drift reports, which take a
process and seconds each.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from sqlalchemy import update

from graphstore.config import GraphstoreConfig
from graphstore.session import open_engine, read, write
from graphstore.tables import models
from monitoring.config import MonitoringConfig
from monitoring.run import Monitor
from serving.config import ServingConfig
from serving.nearline import NearLine
from serving.publisher import Publisher
from serving.ranker import load_ranker
from serving.recommend import Recommendation, Storefront, recommendations
from serving.source import ShopSource
from serving.touch_queue import Touch
from serving.web.impressions import impression
from stream.events import CatalogItem, Impression, Interaction, utc
from stream.worker.sink import Sink
from training.config import TrainingConfig
from training.data.dataset import TooFewEvents
from training.lifecycle import registry, requests, retrain
from training.lifecycle.patience import change_of, probation_wish, unjudged
from training.lifecycle.registry import Kind
from training.lifecycle.run import RunSpec, run_training
from training.lifecycle.run_result import RunResult
from training.options import TrainingOptions

SLOT = "home"
DATABASE = "graph.db"
BATCH = 5_000


@dataclass(frozen=True)
class ShopConfig:
    """The settings of the parts of a shop."""

    training: TrainingConfig
    serving: ServingConfig
    monitoring: MonitoringConfig


class Shop:
    """A shop in `directory` and a Redis of its own. `now` is always epoch ms."""

    def __init__(self, directory: Path, redis: Redis, config: ShopConfig) -> None:
        self.config = config
        # Its own database, whatever the environment names.
        database_url = f"sqlite:///{directory.resolve() / DATABASE}"
        self._graph = GraphstoreConfig(state_dir=directory, database_url=database_url)
        self.engine = open_engine(self._graph.sqlalchemy_url)
        self._redis = redis
        self._sink = Sink(self.engine, redis)
        source = ShopSource(self.engine)
        self._publisher = Publisher(source, redis, config.serving)
        self._near = NearLine(source, redis, config.serving, load=load_ranker)
        # The pauses of the monitor follow the clock of the machine. Here each pass looks at a probation.
        self._monitor = Monitor(
            self.engine, config=config.monitoring, state_dir=directory, redis=redis, timer=lambda: 0.0
        )
        self._store = Storefront.open(redis)
        self._impressions: list[Impression] = []

    def close(self) -> None:
        """Close the database. Redis belongs to the caller."""
        self.engine.dispose()

    def open_day(self) -> None:
        """Forget what a reader remembers: its memory follows the clock of the machine, not of the simulation."""
        self._store = Storefront.open(self._redis)

    def serve(self, user_id: str, *, k: int, request_id: str, now: int) -> Recommendation:
        """Return the list for a shopper, and remember it as shown. Raises `serving.recommend.NothingPublished`."""
        time = utc(now)
        served = recommendations(self._store, user_id, k=k, explained=False, now=time, slot=SLOT, request_id=request_id)
        self._impressions.append(impression(served, SLOT, now=time))
        return served

    def store(self, events: Sequence[Interaction], catalogue: Sequence[CatalogItem] = (), *, now: int) -> None:
        """Store what happened before `now` as the worker does, and refresh the lists of those whom it touched."""
        if catalogue:
            self._sink.store_items(catalogue, now=now)
        self._sink.store_impressions(self._impressions, now=now)
        self._impressions = []
        touched: Mapping[str, int] = {}
        for first in range(0, len(events), BATCH):
            stored = self._sink.store_interactions(events[first : first + BATCH], now=now)
            touched = {**touched, **stored.touched}
        self._sink.refresh_trending(now=now)
        self._near.refresh_trend(now=now)
        touches = {user: Touch(event_time=time, announced_at=now) for user, time in touched.items()}
        self._near.refresh(touches, now=lambda: now)
        self.open_day()

    def measure(self, *, now: int) -> None:
        """Do a pass of the monitor: attribute clicks, count the rates, watch a probation, perhaps ask for a retrain."""
        self._monitor.count(now=now)
        self._monitor.check_alarms(now=now)
        if self._monitor.watch_probation(now=now) is not None:
            self._near.follow(now=lambda: now)
            self.open_day()
        self._monitor.ask(None, now=now)

    def train_if_due(self, *, now: int) -> RunResult | None:
        """Do what a tick of the scheduler does. Return the finished run, or None if none is due or it was postponed.

        Other errors of a run are raised: in a simulation nobody reads the log.
        """
        with write(self.engine) as connection:
            plan = retrain.plan(connection, self.config.training, now=now)
            if plan.kind is None:
                return None
            run_id = retrain.enter(connection, plan.kind, plan.reason, now=now)
        try:
            return self.train(plan.kind, plan.reason, run_id=run_id, now=now)
        except TooFewEvents:
            return None
        finally:
            with write(self.engine) as connection:
                requests.settle(connection, run_id=run_id, now=now)

    def train(self, kind: Kind, trigger: str, *, run_id: str | None = None, now: int) -> RunResult:
        """Train one model and pass it through the gate. Raises the errors of `run_training`."""
        return run_training(
            self.engine,
            RunSpec(kind, trigger, run_id=run_id),
            graph=self._graph,
            config=self.config.training,
            now=lambda: now,
            options=TrainingOptions(seed=self.config.training.training_seed),
        )

    def train_from_scratch(self, *, now: int) -> RunResult:
        """Train a model on all events and make it the champion without a comparison, as if there was none before.

        It is not promoted if it ranks worse than recent popularity. Then the old champion goes on.
        """
        with write(self.engine) as connection:
            before = registry.champion(connection)
            connection.execute(
                update(models).where(models.c.status == registry.CHAMPION).values(status=registry.RETIRED)
            )
        done = self.train("closed_form", "nightly", now=now)
        if before is not None and done.verdict != registry.PROMOTED:
            with write(self.engine) as connection:
                registry.promote(connection, before.model_version, now=now)
        return done

    def promote(self, model_version: str, *, now: int) -> None:
        """Make a model the champion by hand, with the probation that the settings ask for."""
        with write(self.engine) as connection:
            wish = unjudged(probation_wish(self.config.training))
            change = change_of(connection, "simulation", "forced by hand", wish, now=now)
            registry.promote(connection, model_version, now=now, change=change)

    def publish(self, *, now: int) -> None:
        """Publish the champion if another model is served, and let near-line follow it."""
        self._publisher.reconcile(now=lambda: now)
        self._near.follow(now=lambda: now)
        self.open_day()

    def champion(self) -> registry.ModelRow:
        """Return the serving model. Raises `NoChampion`."""
        with read(self.engine) as connection:
            row = registry.champion(connection)
        if row is None:
            raise registry.NoChampion("the simulated shop has no champion")
        return row

    def register(self, model: registry.ModelRow) -> None:
        """Insert a model that no run made."""
        with write(self.engine) as connection:
            registry.register(connection, model)


def copy_shop(source: Path, target: Path) -> None:
    """Copy the database of a closed shop. Bundles stay where they are: the rows hold their paths."""
    target.mkdir(parents=True)
    shutil.copy(source / DATABASE, target / DATABASE)
