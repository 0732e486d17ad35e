"""The long-running processes, each composed from the configuration of its packages, read here once.

Every one of them runs until SIGTERM or SIGINT, drains, and reports its health on a port of its own.
"""

import logging
import signal
import threading
from types import FrameType

from graphstore.config import GraphstoreConfig
from graphstore.redis.hot import RECENT_ITEMS
from serving.config import ServingConfig
from stream.config import StreamConfig

logger = logging.getLogger(__name__)

BROKER_SECONDS = 10.0
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logging(level: int = logging.INFO) -> None:
    """Lines on standard error; the Kafka clients' own chatter only from warnings on."""
    logging.basicConfig(level=level, format=LOG_FORMAT)
    for noisy in ("kafka", "aiokafka", "faust", "mode", "apscheduler", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def stop_on_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        logger.info("%s: stopping", signal.Signals(number).name)
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return stop


def run_worker(*, recent_items: int = RECENT_ITEMS) -> None:
    """The stream worker: Faust stops fetching on SIGTERM, finishes the batch in hand and commits.

    `recent_items` is how many items stay in each shopper's `recent:`.
    """
    from graphstore.redis.connection import open_redis
    from graphstore.session import now_ms, open_engine
    from stream.kafka.broker import check_reachable
    from stream.kafka.lag import LagWatch
    from stream.probe import start_probe
    from stream.worker.app import create_app, health
    from stream.worker.gc_tuning import collect_seldom
    from stream.worker.rebuild_watch import RebuildWatch
    from stream.worker.shutdown import BoundedWorker
    from stream.worker.sink import Sink
    from stream.worker.worker import TOPICS

    # kafka-python only measures the lag here, which tells its own errors.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stream, graph = StreamConfig(), GraphstoreConfig()
    check_reachable(stream, timeout_seconds=BROKER_SECONDS)  # Faust would end with a traceback
    engine = open_engine(graph.sqlalchemy_url)
    redis = open_redis(graph.redis_url)
    sink = Sink(engine, redis, recent_items=recent_items)
    app = create_app(stream, sink, now_ms, graph.state_dir / "worker" / stream.worker_id)
    probe = start_probe(stream.probe_port_of("worker"), lambda: health(app))
    logger.info("worker %s: health and metrics on port %d", stream.worker_id, probe.port)
    LagWatch(stream, engine, TOPICS)
    RebuildWatch(engine, redis, now=now_ms, recent_items=recent_items)
    collect_seldom()
    BoundedWorker(app, loglevel="WARN", redirect_stdouts=False, quiet=True).execute_from_commandline()


def run_nearline() -> None:
    """Near-line refresh of touched shoppers."""
    from serving.nearline import run_nearline as run

    run(ServingConfig(), GraphstoreConfig(), StreamConfig(), stop_on_signal())


def run_publisher() -> None:
    """Publishing of champions."""
    from serving.publisher import run_publisher as run

    run(ServingConfig(), GraphstoreConfig(), StreamConfig(), stop_on_signal())


def run_scheduler() -> None:
    """Retraining."""
    from stream.probe import OK, start_probe
    from training.config import TrainingConfig
    from training.config_file import WatchedConfig
    from training.lifecycle.scheduler import run_scheduler as run

    config, stream, stop = WatchedConfig(TrainingConfig()), StreamConfig(), stop_on_signal()
    probe = start_probe(
        stream.probe_port_of("scheduler"),
        lambda: {"scheduler": "stopping" if stop.is_set() else OK, "settings": config.problem or OK},
    )
    logger.info("scheduler: health on port %d", probe.port)
    run(GraphstoreConfig(), config, stream, stop)


def run_serve() -> None:
    """The web server; granian handles the signals itself."""
    from serving.web.server import serve

    serve(ServingConfig())


def run_monitor() -> None:
    """Monitoring of the loop."""
    from graphstore.session import open_engine
    from monitoring.config import MonitoringConfig
    from monitoring.run import run_monitor as run

    graph = GraphstoreConfig()
    engine = open_engine(graph.sqlalchemy_url)
    try:
        run(
            engine,
            config=MonitoringConfig(),
            state_dir=graph.state_dir,
            stop=stop_on_signal(),
            probe_port=StreamConfig().probe_port_of("monitor"),
        )
    finally:
        engine.dispose()
