"""What is up and how far behind: every service and process asked once, with one line of finding each."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from redis.exceptions import RedisError
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from graphstore import queries
from graphstore.config import GraphstoreConfig
from graphstore.session import migrations, open_engine, read
from graphstore.tables import stream_progress
from monitoring.config import MonitoringConfig
from serving import cache
from serving.config import ServingConfig
from stream import events
from stream.config import StreamConfig
from stream.topics import connection_settings
from training.config import TrainingConfig

TIMEOUT_SECONDS = 3.0
WORKER_TOPICS = (events.INTERACTIONS, events.IMPRESSIONS, events.CATALOG)


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    finding: str


def examine() -> list[Check]:
    """Ask everything that the environment's configuration names; a service that is away is a finding, not an error."""
    graph, stream, serving = GraphstoreConfig(), StreamConfig(), ServingConfig()
    engine = open_engine(graph.sqlalchemy_url)
    try:
        checks = [
            _guarded("database", lambda: _database(engine)),
            _guarded("redis", lambda: _redis(graph)),
            *_kafka(stream, engine),
        ]
    finally:
        engine.dispose()
    ports = {
        "worker": stream.worker_port,
        "nearline": serving.nearline_port,
        "publisher": serving.publisher_port,
        "scheduler": TrainingConfig().scheduler_port,
        "monitor": MonitoringConfig().monitor_port,
        "serve": serving.serve_port,
    }
    return checks + [_process(name, port) for name, port in ports.items()]


def _guarded(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, finding=look())
    except (SQLAlchemyError, RedisError, KafkaError, OSError, LookupError) as error:
        return Check(name, ok=False, finding=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")


def _database(engine: Engine) -> str:
    newest = ScriptDirectory.from_config(migrations(str(engine.url))).get_current_head()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current != newest:
        raise LookupError(f"schema is at {current}, the code at {newest}: run `sagestream init`")
    with read(engine) as connection:
        counts = queries.counts(connection)
    return f"{engine.dialect.name}, schema {current}, " + ", ".join(f"{n:,} {name}" for name, n in counts.items())


def _redis(graph: GraphstoreConfig) -> str:
    redis = cache.connect(graph.redis_url, timeout_seconds=TIMEOUT_SECONDS)
    try:
        version = cache.champion(redis)
        memory = redis.info("memory")["used_memory_human"]
    finally:
        redis.close()
    return f"serves {version or 'nothing yet'}, {memory} in use"


def _kafka(stream: StreamConfig, engine: Engine) -> list[Check]:
    """Reachable, and for each topic of the worker how many messages are not in the graph yet."""
    try:
        consumer = KafkaConsumer(bootstrap_timeout_ms=int(TIMEOUT_SECONDS * 1000), **connection_settings(stream))
    except KafkaError as error:
        return [Check("kafka", ok=False, finding=f"{stream.kafka_bootstrap_servers}: {error}")]
    try:
        with read(engine) as connection:
            done = {(r.topic, r.partition): r.next_offset for r in connection.execute(select(stream_progress))}
        return [_guarded(f"kafka {topic}", lambda topic=topic: _lag(consumer, topic, done)) for topic in WORKER_TOPICS]  # type: ignore[misc]
    except SQLAlchemyError as error:
        return [Check("kafka", ok=False, finding=f"lag unknown, no database: {type(error).__name__}")]
    finally:
        consumer.close()


def _lag(consumer: KafkaConsumer, topic: str, done: dict[tuple[str, int], int]) -> str:
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise LookupError("the topic does not exist: run `sagestream init`")
    ends = consumer.end_offsets([TopicPartition(topic, partition) for partition in sorted(partitions)])
    behind = sum(max(end - done.get((topic, tp.partition), 0), 0) for tp, end in ends.items())
    return f"{len(partitions)} partitions, {behind:,} messages behind"


def _process(name: str, port: int) -> Check:
    url = f"http://127.0.0.1:{port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            needs = json.load(answer)
    except urllib.error.HTTPError as error:
        return Check(name, ok=False, finding=f"port {port}: not ready, {error.read().decode(errors='replace')[:200]}")
    except (urllib.error.URLError, TimeoutError, OSError, ValueError) as error:
        return Check(name, ok=False, finding=f"port {port}: {getattr(error, 'reason', error)}")
    shown = ", ".join(f"{need} {word}" for need, word in needs.items()) if isinstance(needs, dict) else str(needs)
    return Check(name, ok=True, finding=f"port {port}: {shown}")
