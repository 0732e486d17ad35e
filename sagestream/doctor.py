"""Doctor: check every service and process once; each check gives one line with its state and lag."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka.errors import KafkaError
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from graphstore import queries
from graphstore.addresses import shown_url
from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError, reason
from graphstore.redis.connection import open_redis
from graphstore.session import NoDatabase, open_existing, read, revisions
from sagestream.error_messages import NO_GRAPH, message
from sagestream.settings import foreign_variables
from serving import cache
from serving.config import ServingConfig
from serving.slots.slot_book import SlotBook
from stream.config import PROBED_PROCESSES, StreamConfig
from stream.kafka.broker import check_reachable
from stream.kafka.lag import PartitionLag, measure
from stream.readiness import ask_process
from stream.worker.worker import TOPICS
from training.config import TrainingConfig
from training.config_file import current_config

TIMEOUT_SECONDS = 3


NO_EVICTION = "noeviction"
FULL_SHARE = 0.95
"""From this share of its memory on, Redis counts as full."""


class LittleMemory(UserError):
    """Redis is full, or makes room by itself. The message tells what to set."""


class OldSchema(UserError):
    """The database schema and the code have different versions."""


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    ok: bool
    finding: str


def examine() -> list[Check]:
    """Run all checks of the configured services. An unreachable service is a finding, not an error."""
    graph, stream, training = GraphstoreConfig(), StreamConfig(), TrainingConfig()
    serving = ServingConfig()
    with _opened(graph.sqlalchemy_url) as engine:
        checks = [
            _guarded("database", lambda: _database(engine, graph.sqlalchemy_url)),
            _guarded("redis", lambda: _redis(graph)),
            *_kafka(stream, engine),
        ]
    checks += [Check("settings", ok=False, finding=warning) for warning in foreign_variables(os.environ)]
    if training.training_config is not None:
        checks.append(_training_file(training))
    if serving.slots_file is not None:
        checks.append(_guarded("slots file", lambda: _slots_file(serving)))
    ports = {name: stream.probe_port_of(name) for name in PROBED_PROCESSES}
    return checks + [_process(*address) for address in stream.probe_addresses(ports)]


@contextmanager
def _opened(url: str) -> Iterator[Engine | None]:
    """Open the database; None where there is no file of it yet, because a look must not create one."""
    try:
        engine = open_existing(url, connect_seconds=TIMEOUT_SECONDS)
    except NoDatabase:
        yield None
        return
    try:
        yield engine
    finally:
        engine.dispose()


def _guarded(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, finding=look())
    except (SQLAlchemyError, RedisError, OSError, UserError) as error:
        return Check(name, ok=False, finding=message(error) or reason(error))


def _database(engine: Engine | None, url: str) -> str:
    if engine is None:
        raise NoDatabase(f"there is no {shown_url(url)}: run `sagestream init`")
    current, newest = revisions(engine)
    if current is None:
        raise OldSchema(NO_GRAPH)
    if current != newest:
        raise OldSchema(f"schema is at {current}, the code at {newest}: run `sagestream init`")
    with read(engine) as connection:
        counts = queries.counts(connection)
    return f"{engine.dialect.name}, schema {current}, " + ", ".join(f"{n:,} {name}" for name, n in counts.items())


def _redis(graph: GraphstoreConfig) -> str:
    redis = open_redis(graph.redis_url, timeout_seconds=TIMEOUT_SECONDS)
    try:
        served = cache.served(redis)
        used = _memory(redis.info("memory"))
    finally:
        redis.close()
    if served is None:
        return f"serves nothing yet, {used}"
    champion, *others = served.versions
    some = f" and, to some shoppers, {', '.join(others)}" if others else ""
    return f"serves {champion}{some}, {used}"


def _memory(found: Mapping[str, Any]) -> str:
    """Return how much memory is in use. Raises `LittleMemory` where Redis refuses writes soon, or drops keys."""
    most, policy = int(found.get("maxmemory", 0)), found.get("maxmemory_policy", NO_EVICTION)
    used = f"{found['used_memory_human']} in use"
    if not most:
        return used
    used = f"{used} of {found['maxmemory_human']}"
    if policy != NO_EVICTION:
        raise LittleMemory(
            f"{used}, and drops keys that are served: set maxmemory-policy to {NO_EVICTION}, not {policy}"
        )
    if int(found["used_memory"]) > FULL_SHARE * most:
        raise LittleMemory(f"{used}: raise maxmemory, or lower SAGESTREAM_VISITOR_DAYS")
    return used


def _kafka(stream: StreamConfig, engine: Engine | None) -> list[Check]:
    """Check that Kafka is reachable and, for each topic of the worker, how many messages are not in the graph yet."""
    try:
        if engine is None:
            check_reachable(stream, timeout_seconds=TIMEOUT_SECONDS)
            return [Check("kafka", ok=False, finding="reachable, lag unknown without the database")]
        lags = measure(stream, engine, TOPICS, timeout_seconds=TIMEOUT_SECONDS)
    except (KafkaError, OSError, UserError) as error:
        return [Check("kafka", ok=False, finding=message(error) or reason(error))]
    except SQLAlchemyError as error:
        return [Check("kafka", ok=False, finding=f"lag unknown without the database: {reason(error)}")]
    return [_lag(topic, [lag for lag in lags if lag.topic == topic]) for topic in TOPICS]


def _lag(topic: str, lags: list[PartitionLag]) -> Check:
    if not lags:
        return Check(f"kafka {topic}", ok=False, finding="the topic does not exist: run `sagestream init`")
    remarks = [f"partition {lag.partition}: {lag.remark}" for lag in lags if lag.remark]
    behind = f"{len(lags)} partitions, {sum(lag.behind for lag in lags):,} messages behind"
    return Check(f"kafka {topic}", ok=all(lag.goes_on for lag in lags), finding="; ".join([behind, *remarks]))


def _training_file(training: TrainingConfig) -> Check:
    try:
        current_config(training)
    except UserError as error:
        return Check("training file", ok=False, finding=str(error))
    return Check("training file", ok=True, finding=str(training.training_config))


def _slots_file(serving: ServingConfig) -> str:
    return f"{serving.slots_file}, {len(SlotBook.open(serving).current())} slots with the defaults"


def _process(name: str, host: str, port: int) -> Check:
    found = ask_process(name, host, port, timeout_seconds=TIMEOUT_SECONDS)
    if found.state == "ready":
        shown = ", ".join(f"{need} {word}" for need, word in found.words.items())
        return Check(name, ok=True, finding=f"{found.address}: {shown}")
    if found.state == "unknown":
        return Check(name, ok=False, finding=found.said)
    said = f"not ready, {found.said}" if found.state == "not ready" else found.said
    return Check(name, ok=False, finding=f"{found.address}: {said}")
