"""What the playground stands on: a broker, Redis and a database, given or started, and the settings that reach them."""

import secrets
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
from sagestream.playground.embedded import bindable, find_kafka, free_port, free_ports, start_broker, start_redis
from sagestream.playground.processes import Supervisor
from stream.config import PROBED_PROCESSES, StreamConfig
from stream.kafka.topics import create_topics

PROCESSES = (*PROBED_PROCESSES, "serve")
"""The verbs of the loop's processes, in the order in which they start."""

ADDRESS_SETTINGS = (
    "redis_url",
    "database_url",
    "kafka_bootstrap_servers",
    "kafka_security_protocol",
    "producer_idempotent",
    "probe_port",
    "serve_port",
)
"""The settings that reach services and processes."""

_C = TypeVar("_C", bound=BaseSettings)


@dataclass(frozen=True)
class Given:
    """Services that exist already; None where the playground starts its own."""

    broker: str | None = None
    redis_url: str | None = None
    database_url: str | None = None


@dataclass(frozen=True)
class Services:
    """Running services; `settings` point all of Sagestream at them, ours and the children's alike."""

    broker: str
    """`kafka` or `tansu`."""
    said: str
    """What was taken, in words."""
    settings: Mapping[str, str]
    engine: Engine
    redis: Redis

    def config(self, kind: type[_C]) -> _C:
        """A package's configuration: these settings, then the environment, then the defaults."""
        return configured(kind, self.settings)

    @property
    def environment(self) -> dict[str, str]:
        """The same settings as environment variables."""
        return {f"{PREFIX}{name.upper()}": value for name, value in self.settings.items()}

    @property
    def addresses(self) -> dict[str, str]:
        """Those of the settings that say where something is: neither keys nor the tempo of a demonstration."""
        return {name: self.settings[name] for name in ADDRESS_SETTINGS if name in self.settings}

    def port(self, verb: str) -> int:
        """The port of a process."""
        if verb == "serve":
            return int(self.settings["serve_port"])
        return self.config(StreamConfig).probe_port_of(verb)

    def close(self) -> None:
        """Let go of the connections."""
        self.redis.close()
        self.engine.dispose()


def configured(kind: type[_C], settings: Mapping[str, str]) -> _C:
    """A package's configuration with those of the settings that are its own; they win over the environment."""
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
    """Start what is not given, migrate the database, create the topics. Children are kept by `supervisor`.

    `pace` holds settings of a demonstration's tempo; one that `environment` sets already stays as it is there. A
    taken `web_port` is replaced by a free one. Raises `embedded.ServiceMissing` and `processes.ProcessFailed`.
    """
    settings = {
        "state_dir": str(directory.resolve()),
        "api_key": environment.get(f"{PREFIX}API_KEY") or secrets.token_urlsafe(24),
        "serve_port": str(web_port if bindable(web_port) else free_port()),
        "probe_port": str(free_ports(len(PROBED_PROCESSES))),
        **{name: value for name, value in pace.items() if f"{PREFIX}{name.upper()}" not in environment},
    }
    if given.broker:
        kind, broker_said = "kafka", f"given, {given.broker}"
        settings["kafka_bootstrap_servers"] = given.broker
    else:
        home = find_kafka(environment)
        # Said even where it is the default: what the environment holds is meant for a shop's own services.
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
    )
    create_topics(services.config(StreamConfig))
    return services
