"""What is up and how far behind: every service and process asked once, with one line of finding each."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from kafka.errors import KafkaError
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from graphstore import queries
from graphstore.config import GraphstoreConfig
from graphstore.session import migrations, open_engine, read
from sagestream.settings import foreign_variables
from serving import cache
from serving.config import ServingConfig
from stream.config import PROBED_PROCESSES, StreamConfig
from stream.kafka.lag import PartitionLag, measure
from stream.probe import OK
from stream.worker.worker import TOPICS
from training.config import TrainingConfig
from training.config_file import ConfigFileError, current_config

TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    finding: str


def examine() -> list[Check]:
    """Ask everything that the environment's configuration names; a service that is away is a finding, not an error."""
    graph, stream, serving, training = GraphstoreConfig(), StreamConfig(), ServingConfig(), TrainingConfig()
    engine = open_engine(graph.sqlalchemy_url)
    try:
        checks = [
            _guarded("database", lambda: _database(engine)),
            _guarded("redis", lambda: _redis(graph)),
            *_kafka(stream, engine),
        ]
    finally:
        engine.dispose()
    checks += [Check("settings", ok=False, finding=message) for message in foreign_variables(os.environ)]
    if training.training_config is not None:
        checks.append(_training_file(training))
    ports = {name: stream.probe_port_of(name) for name in PROBED_PROCESSES} | {"serve": serving.serve_port}
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
        lags = measure(stream, engine, TOPICS, timeout_seconds=TIMEOUT_SECONDS)
    except (KafkaError, OSError) as error:
        return [Check("kafka", ok=False, finding=f"{stream.kafka_bootstrap_servers}: {error}")]
    except SQLAlchemyError as error:
        return [Check("kafka", ok=False, finding=f"lag unknown, no database: {type(error).__name__}")]
    return [_lag(topic, [lag for lag in lags if lag.topic == topic]) for topic in TOPICS]


def _lag(topic: str, lags: list[PartitionLag]) -> Check:
    if not lags:
        return Check(f"kafka {topic}", ok=False, finding="the topic does not exist: run `sagestream init`")
    remarks = [f"partition {lag.partition}: {lag.remark}" for lag in lags if lag.remark]
    behind = f"{len(lags)} partitions, {sum(lag.behind for lag in lags):,} messages behind"
    return Check(f"kafka {topic}", ok=not remarks, finding="; ".join([behind, *remarks]))


def _training_file(training: TrainingConfig) -> Check:
    try:
        current_config(training)
    except (ConfigFileError, OSError) as error:
        return Check("training file", ok=False, finding=str(error))
    return Check("training file", ok=True, finding=str(training.training_config))


def _process(name: str, port: int) -> Check:
    if not port:
        return Check(name, ok=False, finding="SAGESTREAM_PROBE_PORT is 0: it may be on any port")
    url = f"http://127.0.0.1:{port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            needs = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return Check(name, ok=False, finding=f"port {port}: not ready, {_wrong(error.read())}")
    except (urllib.error.URLError, TimeoutError, OSError, ValueError) as error:
        return Check(name, ok=False, finding=f"port {port}: {getattr(error, 'reason', error)}")
    shown = ", ".join(f"{need} {word}" for need, word in needs.items()) if isinstance(needs, dict) else str(needs)
    return Check(name, ok=True, finding=f"port {port}: {shown}")


def _wrong(body: bytes) -> str:
    """What a process that is not ready says of the things that are not ok."""
    try:
        needs = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")[:200]
    if not isinstance(needs, dict):
        return str(needs)
    return ", ".join(f"{need}: {word}" for need, word in needs.items() if word != OK)
