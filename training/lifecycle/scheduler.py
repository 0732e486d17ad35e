"""Scheduler: checks at every tick whether a model is due, and trains it in a child process, one at a time.

Arrives: waiting requests and new interactions in SQL, requests by HTTP, the training file. Leaves: trained models, and
the announced champion (`training.lifecycle.announcer`). Next: `serving.publisher` follows the announcement.

The scheduler reads the training file again at every tick (`training.config_file.WatchedConfig`), so a change counts
from the next run on. While a changed file is wrong, no run starts; the probe and the log say why.

APScheduler provides the ticks and the thread that runs the trainings, and keeps its jobs in memory. State that must
survive is in our own rows (`training.lifecycle.retrain`, `training.lifecycle.requests`), because a job store loses a
job that is killed. The next run resumes the fit of GraphSAGE. A leader lock covers everything, because two schedulers
on one store would run every job twice.

The child (`training.process`) is spawned for one run and ends after it: an idle process that has trained keeps its
libraries and caches in memory, some 700 MB. It ends when its parent ends. A child that dies fails its run at once, and
a child that falls silent (`training.lifecycle.heartbeat`) is killed. A pool of processes was rejected: a pool whose
process died stays broken, and APScheduler sends no event for it.
"""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Engine

from graphstore.config import GraphstoreConfig
from graphstore.log_context import logged_with
from graphstore.progress import Progress
from graphstore.redis.connection import open_redis
from graphstore.retention import DAY_MS, compact, expire, prune_snapshots
from graphstore.session import now_ms, open_engine, write
from stream.config import StreamConfig
from stream.liveness import Liveness, Watchdog
from training.config import TrainingConfig
from training.config_file import WatchedConfig
from training.lifecycle import registry, requests, retrain
from training.lifecycle.announcer import Announcer
from training.lifecycle.asked import AskedRequests
from training.lifecycle.health import TrainingHealth
from training.lifecycle.heartbeat import DIED, beating
from training.lifecycle.leader import LeaderLock, leader_lock, wait_for_leadership
from training.lifecycle.pruning import prune_bundles
from training.lifecycle.registry import Kind
from training.process import FaultInProcess, SpawnedProcess, SpawnedProcessFailed

logger = logging.getLogger(__name__)

MISSED_TICKS = 10
"""The scheduler makes no progress when this many ticks did not come."""

TRAININGS = "trainings"
TICKS = "ticks"


def run_scheduler(
    graph: GraphstoreConfig,
    config: WatchedConfig,
    stream: StreamConfig,
    stop: threading.Event,
    *,
    now: Callable[[], int] = now_ms,
    liveness: Liveness | None = None,
    health: TrainingHealth | None = None,
) -> None:
    """Wait for the leader lock, then work until `stop` is set. Each try and each tick is a beat of `liveness`.

    After the stop a running training has `scheduler_stop_seconds`. Then it is killed and its requests wait again.
    `health` is told at each tick which runs run, and which have ended.
    """
    engine = open_engine(graph.sqlalchemy_url)
    lock = leader_lock(engine, graph.state_dir / "scheduler.lock")
    tick_seconds = config.current.scheduler_tick_seconds
    liveness = liveness or Liveness()

    def beat() -> None:
        liveness.beat("checking for work", within_seconds=MISSED_TICKS * tick_seconds)

    watchdog = Watchdog(liveness)
    try:
        if wait_for_leadership(lock, stop, retry_seconds=tick_seconds, beat=beat):
            scheduler = Scheduler(engine, graph, config, stream, lock=lock, stop=stop, now=now)
            scheduler.run(beat, watchdog, health or TrainingHealth())
    finally:
        watchdog.close()
        lock.release()
        engine.dispose()


class Scheduler:
    """The work of the leader."""

    def __init__(
        self,
        engine: Engine,
        graph: GraphstoreConfig,
        config: WatchedConfig,
        stream: StreamConfig,
        *,
        lock: LeaderLock,
        stop: threading.Event,
        now: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._graph = graph
        self._config = config
        self._lock = lock
        self._stop = stop
        self._now = now
        self._announcer = Announcer(engine, stream, now=now)
        self._asked = AskedRequests(engine, open_redis(graph.redis_url))
        self._beat: Callable[[], object] = lambda: None
        self._health = TrainingHealth()
        self._idle = threading.Event()
        self._idle.set()
        self._child_lock = threading.Lock()
        self._child: SpawnedProcess | None = None
        self._run_id: str | None = None
        self._scheduler = BackgroundScheduler(
            executors={
                TRAININGS: {"type": "threadpool", "max_workers": 1},
                TICKS: {"type": "threadpool", "max_workers": 3},
            },
            timezone="UTC",
        )

    def run(self, beat: Callable[[], object], watchdog: Watchdog, health: TrainingHealth) -> None:
        """Work until the stop. `beat` is called at each tick, and `health` looks at the runs."""
        self._beat, self._health = beat, health
        with write(self._engine) as connection:
            requests.settle(connection, now=self._now(), new_leader=True)
        self._scheduler.start(paused=True)
        # Jobs of their own, so that an unreachable broker or Redis does not block a training.
        for job in (self.tick, self._announcer.announce, self._asked.collect):
            self._scheduler.add_job(
                job,
                "interval",
                seconds=self._config.current.scheduler_tick_seconds,
                executor=TICKS,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )
        self._scheduler.add_job(
            self.retain,
            "interval",
            days=1,
            next_run_time=datetime.now(UTC),
            executor=TICKS,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        self._scheduler.resume()
        logger.info("leading; checking for work every %g s", self._config.current.scheduler_tick_seconds)
        try:
            self._stop.wait()
        finally:
            watchdog.close()  # from now on there is no tick
            self._scheduler.pause()
            if not self._idle.wait(self._config.current.scheduler_stop_seconds):
                logger.warning("the running training is given up")
            self._give_up()
            self._scheduler.shutdown(wait=True)
            self._announcer.close()
            self._asked.close()

    def tick(self) -> None:
        """Start a training when one is due, none runs and the training file is right. Stop when the lock is lost."""
        self._beat()
        if not self._lock.held():
            logger.error("leadership is lost: stopping")
            self._stop.set()
            return
        idle, valid, now = self._idle.is_set(), self._config.refresh(), self._now()
        config = self._config.current
        with write(self._engine) as connection:
            dead = requests.settle(connection, now=now)
            plan = retrain.plan(connection, config, now=now) if idle and valid else retrain.NOTHING
            run_id = None if plan.kind is None else retrain.enter(connection, plan.kind, plan.reason, now=now)
            self._health.look(connection, config, waits_for="" if plan.kind else plan.reason, now=now)
        if self._run_id in dead:
            logger.error("run %s is silent: its process is killed", self._run_id)
            self._give_up()
        if run_id is None:
            return
        logger.info("%s run %s: %s", plan.kind, run_id, plan.reason)
        self._idle.clear()
        try:
            self._scheduler.add_job(
                self._train,
                args=[run_id, plan.kind, plan.reason, config],
                id=run_id,
                executor=TRAININGS,
                misfire_grace_time=None,
            )
        except Exception:
            self._settle(run_id)
            raise

    def retain(self) -> None:
        """Delete old lists, figures, snapshots and bundles, and compact data older than `retention_days` days."""
        expired = expire(self._engine, now=self._now())
        if any(astuple(expired)):
            logger.info("deleted: %d rows of old lists, %d old figures", expired.impressions, expired.figures)
        if self._graph.retention_days:
            done = compact(self._engine, before=self._now() - self._graph.retention_days * DAY_MS)
            logger.info("compacted: %d interactions, %d rows of lists", done.interactions, done.impressions)
        gone = prune_snapshots(self._graph.snapshots_dir, keep=self._graph.snapshots_kept)
        if gone:
            logger.info("old snapshots deleted: %s", ", ".join(gone))
        self._prune(self._config.current)

    def _prune(self, config: TrainingConfig) -> None:
        """Delete the bundles that nobody needs any more. Where that fails, it is tried again after the next run."""
        directory = self._graph.state_dir.resolve() / "models"
        try:
            gone = prune_bundles(self._engine, directory, keep=config.bundles_kept, now=self._now())
        except OSError as error:
            logger.warning("old bundles are not deleted: %s", error)
            return
        if gone:
            logger.info("old bundles deleted: %s", ", ".join(gone))

    def _train(self, run_id: str, kind: Kind, trigger: str, config: TrainingConfig) -> None:
        """Train in a child process and wait for it. An error is logged, and the run's requests wait again."""
        spec, error = (run_id, kind, trigger), DIED
        try:
            with self._child_lock:
                if self._stop.is_set():
                    return
                child = self._child = SpawnedProcess()
                self._run_id = run_id
            with child, logged_with(run_id=run_id):
                child.call(train, spec, self._graph.model_dump_json(), config.model_dump_json())
        except (SpawnedProcessFailed, FaultInProcess, OSError) as failure:  # OSError: no memory for a process
            error = str(failure)
        finally:
            self._settle(run_id, error=error)
        self._prune(config)

    def _give_up(self) -> None:
        """Kill the child of a training that is still running."""
        with self._child_lock:
            if self._child is not None:
                self._child.kill()

    def _settle(self, run_id: str, *, error: str = DIED) -> None:
        """Close the run if its process did not, and tell how it ended."""
        with logged_with(run_id=run_id):
            self._close(run_id, error=error)

    def _close(self, run_id: str, *, error: str) -> None:
        try:
            with write(self._engine) as connection:
                requests.settle(connection, now=self._now(), run_id=run_id, error=error.strip().rpartition("\n")[2])
                run = registry.get_run(connection, run_id)
            assert run is not None
            if run.status == registry.FAILED:
                logger.error("run %s failed: %s", run_id, error)
            elif run.status == registry.POSTPONED:
                logger.info("run %s is postponed: %s", run_id, run.error)
            self._health.count(run)
        finally:
            self._run_id = None
            self._idle.set()


def train(spec: tuple[str, Kind, str], graph: str, training: str, progress: Progress) -> dict[str, Any]:
    """Run one training, in the child process.

    Args:
        spec: Run id, kind and trigger.
        graph: A `GraphstoreConfig` as JSON.
        training: A `TrainingConfig` as JSON.
        progress: Called with the progress of the training.
    """
    run_id, kind, trigger = spec
    store = GraphstoreConfig(**json.loads(graph))
    config = TrainingConfig(**json.loads(training))
    engine = open_engine(store.sqlalchemy_url)
    try:
        with beating(engine, run_id, now=now_ms):
            from training.lifecycle.run import RunSpec, run_training  # imports torch, which only the child needs
            from training.options import TrainingOptions

            return run_training(
                engine,
                RunSpec(kind, trigger, run_id=run_id, resume=True),
                graph=store,
                config=config,
                now=now_ms,
                options=TrainingOptions(seed=config.training_seed, progress=progress),
            ).to_json()
    finally:
        engine.dispose()
