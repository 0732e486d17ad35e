"""Runners: start the long-running processes. Each reads the configuration of its packages once, here.

Each process runs until SIGTERM or SIGINT, finishes its current work, and reports its health on its own port.
"""

import logging
import signal
import threading
from types import FrameType

from graphstore.config import GraphstoreConfig, LogConfig
from graphstore.redis.hot import RECENT_ITEMS, HotLimits
from sagestream.extras import require
from serving.config import ServingConfig
from stream.config import StreamConfig

logger = logging.getLogger(__name__)

BROKER_SECONDS = 10.0


def stop_on_signal() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        logger.info("%s: stopping", signal.Signals(number).name)
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return stop


def begin_log(process: str) -> None:
    """Set up the log of a service. From now on a thread that ends with an error ends the service, too."""
    from graphstore.logs import set_up_logging
    from stream.liveness import end_with_threads

    set_up_logging(form=LogConfig().log_format, process=process)
    end_with_threads()  # after the log, which says why


def run_worker(*, recent_items: int = RECENT_ITEMS) -> None:
    """Run the stream worker. On SIGTERM Faust stops fetching, finishes the current batch and commits.

    `recent_items` is the number of items that each user's `recent:` key keeps.
    """
    from graphstore.redis.connection import open_redis
    from graphstore.session import now_ms, open_engine
    from stream.kafka.broker import wait_until_answering
    from stream.kafka.lag_watch import LagWatch
    from stream.liveness import Liveness, Watchdog
    from stream.probe import OK, start_probe
    from stream.worker.app import create_app, health
    from stream.worker.gc_tuning import collect_seldom
    from stream.worker.log_limit import limit_repeated
    from stream.worker.rebuild_watch import RebuildWatch
    from stream.worker.shutdown import BoundedWorker
    from stream.worker.sink import Sink
    from stream.worker.worker import TOPICS
    from stream.worker.worker_id import IdWatch, id_lock, take_id

    # kafka-python only measures the lag here, and `LagWatch` logs its own errors.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    limit_repeated()
    stream, graph, stop = StreamConfig(), GraphstoreConfig(), stop_on_signal()
    engine = open_engine(graph.sqlalchemy_url)
    redis = open_redis(graph.redis_url)
    limits = HotLimits(recent_items=recent_items, visitor_days=graph.visitor_days)
    sink = Sink(engine, redis, recent_items=recent_items, visitor_days=limits.visitor_days)
    app = create_app(stream, sink, now_ms, graph.state_dir / "worker" / stream.member_id)
    missing, liveness = _Problem(), Liveness()
    probe = start_probe(
        stream.probe_port_of("worker"),
        lambda: health(app, waits_for=missing.text),
        host=stream.probe_host,
        alive=lambda: OK if missing.text else liveness.state,  # to wait for a service is no standstill
    )
    logger.info("worker %s: health and metrics on port %d", stream.member_id, probe.port)
    lock = id_lock(engine, stream, graph.state_dir)
    take_id(lock, stream.member_id, stop, missing.tell)
    if not wait_until_answering(stream, stop, missing.tell):
        return
    IdWatch(lock, stream.member_id)
    LagWatch(stream, engine, TOPICS, missing.tell)
    RebuildWatch(engine, redis, now=now_ms, limits=limits)
    collect_seldom()
    worker = BoundedWorker(app, override_logging=False, redirect_stdouts=False, quiet=True)
    worker.spinner = None  # it would write control characters between the lines of the log
    worker.beat = liveness.beat
    liveness.beat()
    Watchdog(liveness)  # only now: before, the process may rightly wait for a service for ever
    worker.execute_from_commandline()


class _Problem:
    """The service that the worker waits for; the text is empty when it waits for nothing."""

    text = ""

    def tell(self, problem: str) -> None:
        """Remember the problem, and log it."""
        if problem and problem != self.text:
            logger.warning("the worker waits for %s", problem)
        self.text = problem


def run_nearline() -> None:
    """Run the near-line refresh of touched users."""
    from serving.nearline import run_nearline as run

    run(ServingConfig(), GraphstoreConfig(), StreamConfig(), stop_on_signal())


def run_publisher() -> None:
    """Run the publisher of champions. Raises `MissingExtra` where a setting names a Ray and Ray is not installed."""
    from serving.publisher import run_publisher as run

    config = ServingConfig()
    if config.publisher_ray:
        require("ray")
    run(config, GraphstoreConfig(), StreamConfig(), stop_on_signal())


def run_scheduler() -> None:
    """Run the scheduler of retraining."""
    from stream.liveness import Liveness
    from stream.probe import OK, start_probe
    from training.config import TrainingConfig
    from training.config_file import WatchedConfig
    from training.lifecycle.health import TrainingHealth
    from training.lifecycle.scheduler import run_scheduler as run

    config, stream, stop = WatchedConfig(TrainingConfig()), StreamConfig(), stop_on_signal()
    liveness, health = Liveness(), TrainingHealth()
    probe = start_probe(
        stream.probe_port_of("scheduler"),
        lambda: {
            "scheduler": "stopping" if stop.is_set() else OK,
            "settings": config.problem or OK,
            "trainings": health.state,
        },
        host=stream.probe_host,
        alive=lambda: liveness.state,
        told=health.words,
    )
    logger.info("scheduler: health and metrics on port %d", probe.port)
    run(GraphstoreConfig(), config, stream, stop, liveness=liveness, health=health)


def run_serve() -> None:
    """Run the web server. uvicorn handles the signals itself."""
    from serving.web.server import serve

    serve(ServingConfig(), StreamConfig(), begin=begin_web_process)


def begin_web_process() -> None:
    """Set up log and traces of one of several web processes, which are spawned."""
    from graphstore.tracing import begin_tracing

    begin_log("serve")
    begin_tracing("serve")


def run_ranker() -> None:
    """Run the online ranker. uvicorn handles the signals itself."""
    from serving.online.process import run_ranker as run

    run(ServingConfig(), StreamConfig(), begin=begin_ranker_process)


def begin_ranker_process() -> None:
    """Set up the log of one of several rankers, which are spawned."""
    begin_log("ranker")


def show_drift_reports(port: int) -> None:
    """Show the drift reports in a browser until a signal. Raises `monitoring.drift.ui.NoReports`."""
    from monitoring.drift.ui import show_workspace

    show_workspace(GraphstoreConfig().state_dir, port=port)


def run_monitor() -> None:
    """Run the monitor."""
    from graphstore.redis.connection import open_redis
    from graphstore.session import now_ms, open_engine
    from monitoring.config import MonitoringConfig
    from monitoring.dashboard.dead_letters import DeadLetterCounts
    from monitoring.dashboard.show import Dashboard
    from monitoring.dashboard.surroundings import SurroundingsWatch
    from monitoring.errands import ErrandRunner
    from monitoring.run import Monitor
    from monitoring.run import run_monitor as run
    from serving.slots.slot_book import SlotBook

    # The dashboard's look at Kafka logs its own errors.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    graph, stream, config = GraphstoreConfig(), StreamConfig(), MonitoringConfig()
    slots = SlotBook.open(ServingConfig())
    engine, redis = open_engine(graph.sqlalchemy_url), open_redis(graph.redis_url)
    letters = DeadLetterCounts()
    watch = SurroundingsWatch(stream, engine, letters, clock=now_ms)
    errands = ErrandRunner(engine, redis, stream, graph.snapshots_dir, letters, clock=now_ms)
    dashboard = Dashboard(engine, redis, surroundings=lambda: watch.found)
    watch.start()
    errands.start()
    try:
        run(
            Monitor(
                engine,
                config=config,
                state_dir=graph.state_dir,
                redis=redis,
                dashboard=dashboard,
                slots=slots.current,
            ),
            stop=stop_on_signal(),
            probe_port=stream.probe_port_of("monitor"),
            probe_host=stream.probe_host,
        )
    finally:
        errands.close()
        watch.close()
        redis.close()
        engine.dispose()
