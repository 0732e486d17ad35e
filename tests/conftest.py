"""The real parts that tests talk to: Redis, SQLite, PostgreSQL, the embedded broker and, where it is, Apache Kafka."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis
from sqlalchemy import Engine, create_engine, make_url, text

from graphstore.session import migrate, open_engine
from sagestream.playground.embedded import Broker, find_kafka, start_broker, start_redis
from stream.config import StreamConfig
from stream.kafka.topics import create_topics
from tests.postgres import start_postgres

# A slow machine is no failed law.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

NO_KAFKA = "Apache Kafka was not tested: set KAFKA_HOME to a distribution, with Java 17"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud which brokers this run stood on."""
    home, given = find_kafka(), os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    terminalreporter.write_line(f"brokers: embedded{f' and Apache Kafka at {home.name}' if home else ''}")
    if given:
        terminalreporter.write_line(f"the broker contract also at {given}, on topics of its own")
    if not home:
        terminalreporter.write_line(NO_KAFKA)


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> None:
    """Tests never touch services that the environment of this shell names."""
    for name in [name for name in os.environ if name.startswith("SAGESTREAM_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url, child = start_redis(tmp_path_factory.mktemp("redis"))
    yield url
    child.stop()


@pytest.fixture
def redis(redis_url: str) -> Iterator["Redis"]:
    """An empty Redis."""
    client = Redis.from_url(redis_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start_postgres(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables on each of the two."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'graph.db'}"
    server = make_url(request.getfixturevalue("postgres_url")).set(drivername="postgresql+psycopg")
    name = f"t{secrets.token_hex(8)}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return server.set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def database_url(empty_url: str) -> str:
    """A migrated, empty database on each of the two."""
    migrate(empty_url)
    return empty_url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = open_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    """For tests of what does not depend on the database."""
    url = f"sqlite:///{tmp_path / 'graph.db'}"
    migrate(url)
    made = open_engine(url)
    yield made
    made.dispose()


@pytest.fixture(scope="module", params=["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A fresh broker a module, of each kind that can run here."""
    home: Path | None = None
    if request.param == "kafka":
        home = find_kafka(os.environ)
        if home is None:
            pytest.skip(NO_KAFKA)
    made = start_broker(tmp_path_factory.mktemp(request.param), home=home)
    create_topics(stream_config_of(made))
    yield made
    made.child.stop()


@pytest.fixture
def stream_config(broker: Broker) -> StreamConfig:
    """Settings that reach the broker."""
    return stream_config_of(broker)


def stream_config_of(broker: Broker, **settings: object) -> StreamConfig:
    return StreamConfig.model_validate(
        {
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "producer_idempotent": broker.kind == "kafka",
            "worker_port": 0,
            **settings,
        }
    )


@pytest.fixture
def kafka_bootstrap(broker: Broker) -> str:
    return broker.bootstrap_servers
