"""Scheduler: checks at every tick whether a model is due, and trains it in a child process, one at a time.

Arrives: pending requests and new interactions in SQL, the training file. Leaves: trained models, and the announced
champion (`training.lifecycle.announcer`). Next: `serving.publisher` follows the announcement.

The scheduler reads the training file again at every tick (`training.config_file.WatchedConfig`), so a change counts
from the next run on. While a changed file is wrong, no run starts; the probe and the log say why.

APScheduler provides the ticks and a pool with one spawned process. State that must survive is in our own rows
(`training.lifecycle.retrain`), because its job store loses a job that is killed. The next run resumes the fit of
GraphSAGE. A leader lock covers everything, because two schedulers on one store would run every job twice. The child
ends when its parent ends.
"""

import json
import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.synchronize import Event as ProcessEvent
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.executors.pool import ProcessPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Engine

from graphstore.config import GraphstoreConfig
from graphstore.logs import set_up_logging
from graphstore.retention import DAY_MS, compact, prune_snapshots
from graphstore.session import now_ms, open_engine, write
from stream.config import StreamConfig
from training.config import TrainingConfig
from training.config_file import WatchedConfig
from training.lifecycle import retrain
from training.lifecycle.announcer import Announcer
from training.lifecycle.leader import LeaderLock, leader_lock, wait_for_leadership
from training.lifecycle.registry import Kind
from training.process import exit_after, exit_with_parent

logger = logging.getLogger(__name__)

TRAININGS = "trainings"
TICKS = "ticks"


def run_scheduler(
    graph: GraphstoreConfig,
    config: WatchedConfig,
    stream: StreamConfig,
    stop: threading.Event,
    *,
    now: Callable[[], int] = now_ms,
) -> None:
    """Wait for the leader lock, then work until `stop` is set.

    After the stop a running training has `scheduler_stop_seconds`. Then it is killed and its requests become pending.
    """
    engine = open_engine(graph.sqlalchemy_url)
    lock = leader_lock(engine, graph.state_dir / "scheduler.lock")
    try:
        if wait_for_leadership(lock, stop, retry_seconds=config.current.scheduler_tick_seconds):
            Scheduler(engine, graph, config, stream, lock=lock, stop=stop, now=now).run()
    finally:
        lock.release()
        engine.dispose()


class ChildProcess(ProcessPoolExecutor):  # type: ignore[misc]
    """The pool of one process, which tells of a job whose process died: APScheduler only logs it."""

    def __init__(self, died: Callable[[str], None], pool_kwargs: dict[str, Any]) -> None:
        super().__init__(1, pool_kwargs)
        self._died = died

    def _run_job_error(self, job_id: str, exc: BaseException, traceback: Any = None) -> None:
        super()._run_job_error(job_id, exc, traceback)
        self._died(job_id)


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
        self._idle = threading.Event()
        self._idle.set()
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads of torch and Kafka
        self._give_up = context.Event()
        # With SQLite the job store has its own file, otherwise its writes wait for the worker's writes. It holds only
        # what APScheduler pickles itself: the name of `train` and its four strings.
        url = graph.sqlalchemy_url
        if engine.dialect.name == "sqlite":
            url = f"sqlite:///{graph.state_dir.resolve() / 'scheduler.db'}"
        self._store_engine = open_engine(url)
        children = ChildProcess(
            self._settle,
            pool_kwargs={
                "mp_context": context,
                "initializer": _init_child,
                "initargs": (graph.model_dump_json(), self._give_up, logging.getLogger().level),
            },
        )
        self._scheduler = BackgroundScheduler(
            jobstores={TRAININGS: SQLAlchemyJobStore(engine=self._store_engine), TICKS: MemoryJobStore()},
            executors={TRAININGS: children, TICKS: {"type": "threadpool", "max_workers": 2}},
            timezone="UTC",
        )

    def run(self) -> None:
        """Work until the stop."""
        with write(self._engine) as connection:
            retrain.settle(connection, now=self._now())
        self._scheduler.add_listener(self._on_end, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
        self._scheduler.start(paused=True)
        self._scheduler.remove_all_jobs(TRAININGS)  # jobs of a dead leader; their runs are settled above
        # Two jobs, so that an unreachable broker does not block a training.
        for job in (self.tick, self._announcer.announce):
            self._scheduler.add_job(
                job,
                "interval",
                seconds=self._config.current.scheduler_tick_seconds,
                jobstore=TICKS,
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
            jobstore=TICKS,
            executor=TICKS,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        self._scheduler.resume()
        logger.info("leading; a look for work every %g s", self._config.current.scheduler_tick_seconds)
        try:
            self._stop.wait()
        finally:
            self._scheduler.pause()
            if not self._idle.wait(self._config.current.scheduler_stop_seconds):
                logger.warning("the running training is given up")
            self._give_up.set()
            self._scheduler.shutdown(wait=True)
            self._store_engine.dispose()
            self._announcer.close()

    def tick(self) -> None:
        """Start a training when one is due, none runs and the training file is right. Stop when the lock is lost."""
        if not self._lock.held():
            logger.error("leadership is lost: stopping")
            self._stop.set()
            return
        if not self._idle.is_set() or not self._config.refresh():
            return
        with write(self._engine) as connection:
            found = retrain.due(connection, self._config.current, now=self._now())
            if found is None:
                return
            kind, trigger = found
            run_id = retrain.enter(connection, kind, trigger, now=self._now())
        logger.info("%s run %s: %s", kind, run_id, trigger)
        self._idle.clear()
        try:
            self._scheduler.add_job(
                train,
                args=[run_id, kind, trigger, self._config.current.model_dump_json()],
                id=run_id,
                jobstore=TRAININGS,
                executor=TRAININGS,
                misfire_grace_time=None,
            )
        except Exception:
            self._settle(run_id)
            raise

    def retain(self) -> None:
        """Compact data older than `retention_days` days, and delete snapshots beyond `snapshots_kept`."""
        if self._graph.retention_days:
            done = compact(self._engine, before=self._now() - self._graph.retention_days * DAY_MS)
            logger.info("compacted: %d interactions, %d rows of lists", done.interactions, done.impressions)
        gone = prune_snapshots(self._graph.snapshots_dir, keep=self._graph.snapshots_kept)
        if gone:
            logger.info("old snapshots deleted: %s", ", ".join(gone))

    def _on_end(self, event: JobExecutionEvent) -> None:
        if event.jobstore != TRAININGS:
            return
        if event.exception is not None:
            logger.error("run %s failed: %r", event.job_id, event.exception)
        self._settle(event.job_id)

    def _settle(self, run_id: str) -> None:
        try:
            with write(self._engine) as connection:
                retrain.settle(connection, now=self._now(), run_id=run_id)
        finally:
            self._idle.set()


_settings: dict[str, str] = {}
"""In the child: the settings from `_init_child`. As job arguments they would store the database password."""


def train(run_id: str, kind: Kind, trigger: str, settings: str) -> dict[str, Any]:
    """Run one training in the child process, by run id. `settings` is a `TrainingConfig` as JSON."""
    from training.lifecycle.run import RunSpec, run_training  # imports torch, which only the child needs
    from training.options import TrainingOptions

    graph = GraphstoreConfig(**json.loads(_settings["graph"]))
    config = TrainingConfig(**json.loads(settings))
    engine = open_engine(graph.sqlalchemy_url)
    try:
        return run_training(
            engine,
            RunSpec(kind, trigger, run_id=run_id, resume=True),
            graph=graph,
            config=config,
            now=now_ms,
            options=TrainingOptions(seed=config.training_seed),
        ).to_json()
    finally:
        engine.dispose()


def _init_child(graph: str, give_up: ProcessEvent, log_level: int) -> None:
    """Initialise the child: settings, logging, and two ways to end it."""
    _settings.update(graph=graph)
    set_up_logging(log_level)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent decides
    exit_with_parent()
    exit_after(give_up.wait)
