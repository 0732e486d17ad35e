"""Services: opens or starts the broker, Redis and the database of a playground, and builds their settings."""

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic_settings import BaseSettings
from redis import Redis
from sqlalchemy import Engine

from graphstore.config import PREFIX, GraphstoreConfig
from graphstore.ingest import forget_progress
from graphstore.redis.connection import open_redis
from graphstore.session import migrate, open_engine, write
from sagestream.playground.embedded import find_kafka, free_port, free_ports, hold_port, start_broker, start_redis
from sagestream.playground.processes import Supervisor
from sagestream.playground.sample_slots import place_sample
from stream.config import LOOPBACK, PROBED_PROCESSES, StreamConfig
from stream.kafka.topics import CREATE_SECONDS, GIVEN_SECONDS, create_topics

PROCESSES = PROBED_PROCESSES
"""The verbs of the long-running processes, in start order."""

ADDRESS_SETTINGS = (
    "redis_url",
    "database_url",
    "kafka_bootstrap_servers",
    "kafka_security_protocol",
    "producer_idempotent",
    "probe_port",
    "serve_port",
    "slots_file",
    "ranker_port",
    "ranker_url",
)
"""The settings with addresses of services, processes and files."""

_C = TypeVar("_C", bound=BaseSettings)


@dataclass(frozen=True)
class Given:
    """Services that already exist. With None the playground starts its own service."""

    broker: str | None = None
    redis_url: str | None = None
    database_url: str | None = None


@dataclass(frozen=True)
class Services:
    """Running services. `settings` hold their addresses, for this process and for its children."""

    broker: str
    """`kafka` or `tansu`."""
    said: str
    """The chosen services, as text for the user."""
    settings: Mapping[str, str]
    engine: Engine
    redis: Redis
    held_web_port: socket.socket | None = None
    """Keeps other programs from the shop's port until the shop starts, a minute later. None for a port by chance."""

    def config(self, kind: type[_C]) -> _C:
        """Return a package's configuration. These settings win over the environment, and it wins over the defaults."""
        return configured(kind, self.settings)

    @property
    def environment(self) -> dict[str, str]:
        """The settings as environment variables."""
        return {f"{PREFIX}{name.upper()}": value for name, value in self.settings.items()}

    @property
    def addresses(self) -> dict[str, str]:
        """The settings with addresses only, without keys and demonstration intervals."""
        return {name: self.settings[name] for name in ADDRESS_SETTINGS if name in self.settings}

    @property
    def web_port(self) -> int:
        """The port of the shop and its API."""
        return int(self.settings["serve_port"])

    def port(self, verb: str) -> int:
        """Return the port on which a process tells its health."""
        return self.config(StreamConfig).probe_port_of(verb)

    def release_web_port(self) -> None:
        """Give the port to the shop, which starts now."""
        if self.held_web_port is not None:
            self.held_web_port.close()

    def close(self) -> None:
        """Close the connections."""
        self.release_web_port()
        self.redis.close()
        self.engine.dispose()


def configured(kind: type[_C], settings: Mapping[str, str]) -> _C:
    """Return a package's configuration with its own part of `settings`, which wins over the environment."""
    own: dict[str, Any] = {name: value for name, value in settings.items() if name in kind.model_fields}
    return kind(**own)


def open_services(
    directory: Path,
    supervisor: Supervisor,
    given: Given,
    *,
    web_port: int,
    pace: Mapping[str, str],
    environment: Mapping[str, str],
) -> Services:
    """Start the services that are not given, migrate the database and create the topics.

    Args:
        directory: State directory.
        supervisor: Keeps the started children.
        given: Services that already exist.
        web_port: Port of the shop. When it is in use, a free port replaces it.
        pace: Short intervals for a demonstration. A value that `environment` sets wins.
        environment: Environment variables.

    Raises:
        embedded.ServiceMissing: A service is neither given nor installed.
        processes.ProcessFailed: A child does not become ready.
    """
    held = hold_port(web_port)
    ranker_port = free_port()
    serve_port = web_port if held else free_port()
    settings = {
        "state_dir": str(directory.resolve()),
        "api_key": environment.get(f"{PREFIX}API_KEY") or secrets.token_urlsafe(24),
        "admin_key": environment.get(f"{PREFIX}ADMIN_KEY") or secrets.token_urlsafe(24),
        "shop_page": "true",
        "serve_port": str(serve_port),
        # The tag's demo page takes the tag from this machine's other name, as the page of another origin.
        "cors_origins": f"http://{LOOPBACK}:{serve_port},http://localhost:{serve_port}",
        "track_events": "view,click,cart,purchase",
        "slots_file": environment.get(f"{PREFIX}SLOTS_FILE") or str(place_sample(directory)),
        "ranker_port": str(ranker_port),
        "ranker_url": f"http://{LOOPBACK}:{ranker_port}",
        "probe_port": str(free_ports(len(PROBED_PROCESSES))),
        **{name: value for name, value in pace.items() if f"{PREFIX}{name.upper()}" not in environment},
    }
    if given.broker:
        kind, broker_said = "kafka", f"given, {given.broker}"
        settings["kafka_bootstrap_servers"] = given.broker
    else:
        home = find_kafka(environment)
        # Set explicitly, because the environment may hold the protocol of a shop's own broker.
        settings["kafka_security_protocol"] = "PLAINTEXT"
        broker = start_broker(directory / "broker", home=home)
        supervisor.children.append(broker.child)
        kind = broker.kind
        broker_said = "Apache Kafka from KAFKA_HOME" if home else "embedded Tansu, in memory"
        settings |= {
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "producer_idempotent": str(broker.kind == "kafka").lower(),
        }
    if given.redis_url:
        settings["redis_url"] = given.redis_url
    else:
        settings["redis_url"], child = start_redis(directory / "redis")
        supervisor.children.append(child)
    settings["database_url"] = given.database_url or ""
    graph = configured(GraphstoreConfig, settings)
    migrate(graph.sqlalchemy_url)
    engine = open_engine(graph.sqlalchemy_url)
    if kind == "tansu":
        with write(engine) as connection:
            forget_progress(connection)
    services = Services(
        broker=kind,
        said=f"broker: {broker_said} · Redis: {settings['redis_url']} · graph: {engine.dialect.name}",
        settings=settings,
        engine=engine,
        redis=open_redis(settings["redis_url"]),
        held_web_port=held,
    )
    create_topics(services.config(StreamConfig), timeout_seconds=GIVEN_SECONDS if given.broker else CREATE_SECONDS)
    return services
