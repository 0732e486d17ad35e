"""The real parts that tests talk to: Redis, SQLite, PostgreSQL, the embedded broker and, where it is, Apache Kafka.

Redis, PostgreSQL and brokers are started once a process and emptied for each test or module. How tests are marked,
grouped and ordered: `tests.schedule`.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis
from sqlalchemy import Engine

from graphstore.session import open_engine
from sagestream.playground.embedded import Broker, find_kafka, start_broker, start_redis
from sagestream.playground.processes import Child
from stream.config import StreamConfig
from stream.kafka.topics import create_topics
from tests.brokers import NO_KAFKA, renew_topics, stream_config_of
from tests.databases import EACH_DATABASE, Databases, migrated_sqlite
from tests.postgres import start_postgres
from tests.schedule import CHILDREN, arrange

# A slow machine is no failed law.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

OWN_DIRECTORY = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """A directory of this run's own. Runs share pytest's usual one, and each closes it to PostgreSQL's user."""
    if config.option.basetemp is None:
        made = Path(tempfile.mkdtemp(prefix="sagestream-tests-"))
        config.stash[OWN_DIRECTORY] = made
        config.option.basetemp = str(made / "run")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What a failed test left is kept."""
    made = session.config.stash.get(OWN_DIRECTORY, None)
    if made is not None and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        shutil.rmtree(made, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    arrange(items)


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


@pytest.fixture(autouse=True)
def services_are_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that starts a service by itself says so: else `make quick` would not stay quick."""
    if any(request.node.get_closest_marker(name) for name in ("service", "kill", "slow")):
        return
    start = Child.start

    def refuse(child: Child) -> None:
        assert child.name not in CHILDREN, f"{child.name} is started: mark the test `service`"
        start(child)

    monkeypatch.setattr(Child, "start", refuse)


@pytest.fixture(scope="module", autouse=True)
def no_kafka_client_is_left() -> Iterator[None]:
    """A client that a test forgets looks for its broker for ever, in the log and with the random numbers of others."""
    before = threading.enumerate()
    yield
    left = [thread.name for thread in set(threading.enumerate()) - set(before) if "kafka" in thread.name]
    assert not left, f"clients that a test did not close: {left}"


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


@pytest.fixture(scope="session")
def postgres(postgres_url: str) -> Databases:
    """Makes databases, empty or migrated."""
    return Databases(postgres_url)


@pytest.fixture(params=EACH_DATABASE)
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database: each of the two."""
    return str(request.param)


@pytest.fixture
def empty_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if database == "sqlite":
        return f"sqlite:///{tmp_path / 'graph.db'}"
    made: Databases = request.getfixturevalue("postgres")
    return made.empty()


@pytest.fixture
def database_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database without rows."""
    if database == "sqlite":
        return migrated_sqlite(tmp_path / "graph.db")
    made: Databases = request.getfixturevalue("postgres")
    return made.migrated()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = open_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    """For tests of what does not depend on the database."""
    made = open_engine(migrated_sqlite(tmp_path / "graph.db"))
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The Apache Kafka of this process: its start takes four seconds of processor time."""
    home = find_kafka()
    if home is None:
        pytest.skip(NO_KAFKA)
    made = start_broker(tmp_path_factory.mktemp("kafka"), home=home)
    yield made
    made.child.stop()


@pytest.fixture(scope="module")
def tansu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A fresh embedded broker a module: it starts in a tenth of a second."""
    made = start_broker(tmp_path_factory.mktemp("tansu"), home=None)
    create_topics(stream_config_of(made))
    yield made
    made.child.stop()


@pytest.fixture(scope="module", params=["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """A broker of each kind that can run here, with empty topics at the beginning of a module.

    Directories whose code asks nothing of a broker but its contract take the embedded one alone.
    """
    made: Broker = request.getfixturevalue("tansu" if request.param == "tansu" else "apache_kafka")
    if made.kind == "kafka":
        renew_topics(made)
    return made


@pytest.fixture
def stream_config(broker: Broker) -> StreamConfig:
    """Settings that reach the broker."""
    return stream_config_of(broker)


@pytest.fixture
def kafka_away() -> StreamConfig:
    """Settings that reach no broker."""
    return StreamConfig(kafka_bootstrap_servers="127.0.0.1:1", producer_idempotent=False, probe_port=0)
