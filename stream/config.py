"""Settings of the stream, read from the environment once, in main."""

import socket
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, field_validator

from graphstore.addresses import BROKER_EXAMPLE, check_servers, host_and_port
from graphstore.config import PackageSettings

LOOPBACK = "127.0.0.1"

PROBED_PROCESSES = ("worker", "nearline", "publisher", "scheduler", "monitor", "serve", "ranker")
"""The processes that answer on a probe port, each on `probe_port` plus its index here."""
MAX_PROBE_PORT = 65_535 - len(PROBED_PROCESSES) + 1


class StreamConfig(PackageSettings):
    """How to reach Kafka, and how the worker batches."""

    kafka_bootstrap_servers: Annotated[str, AfterValidator(check_servers)] = Field(
        BROKER_EXAMPLE, description="Kafka brokers, comma separated"
    )
    kafka_security_protocol: str = Field("PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    kafka_sasl_mechanism: str | None = Field(None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    kafka_sasl_username: str | None = Field(None, description="SASL user")
    kafka_sasl_password: SecretStr | None = Field(None, description="SASL password")
    kafka_ssl_cafile: str | None = Field(None, description="CA file for SSL")
    kafka_ssl_certfile: str | None = Field(None, description="our own certificate, where brokers ask for one")
    kafka_ssl_keyfile: str | None = Field(None, description="its key, where that is a file of its own")
    kafka_partitions: int = Field(4, ge=1, le=1024, description="partitions of the topics that Sagestream creates")
    kafka_replication: int = Field(1, ge=1, le=16, description="replication factor of those topics")
    producer_idempotent: bool = Field(True, description="producer ids; off for the embedded broker, which has none")
    worker_id: str | None = Field(
        None, description="static group membership: one of its own for each live worker; unset: the host name"
    )
    worker_group: str = Field("sagestream", description="Kafka consumer group of the workers")
    worker_dead_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="a topic of which more than this share is bad is held for a while; 1: never",
    )
    probe_port: int = Field(
        6066,
        ge=0,
        le=MAX_PROBE_PORT,
        description="port for health and metrics of the worker; nearline, publisher, scheduler, monitor, serve "
        "and ranker take the six ports after it; 0: each takes any free port",
    )

    probe_host: str = Field(
        LOOPBACK, description="address that health and metrics are bound to; 0.0.0.0: also for other machines"
    )
    doctor_hosts: str = Field(
        "",
        description="where `doctor` finds processes that run elsewhere: process=host or process=host:port, comma "
        "separated, a process more than once where there are several",
    )

    @field_validator("doctor_hosts")
    @classmethod
    def _names_processes(cls, text: str) -> str:
        for part in _parts(text):
            process, _, address = part.partition("=")
            if process not in PROBED_PROCESSES:
                raise ValueError(f"{part!r} does not begin with a process and =, as worker=worker-1:6066")
            check_servers(address)
        return text

    def probe_addresses(self, ports: Mapping[str, int]) -> list[tuple[str, str, int]]:
        """Return process, host and port of each process, from `doctor_hosts` or else on this machine.

        `ports` has the port of each process that is looked for.
        """
        told: dict[str, list[tuple[str, int]]] = {}
        for part in _parts(self.doctor_hosts):
            process, _, address = part.partition("=")
            host, port = host_and_port(address)
            told.setdefault(process, []).append((host, int(port or ports[process])))
        return [
            (process, host, at) for process, port in ports.items() for host, at in told.get(process, [(LOOPBACK, port)])
        ]

    @property
    def member_id(self) -> str:
        """The worker's id: `worker_id`, or the host name, which differs in every container."""
        return self.worker_id or socket.gethostname()

    def probe_port_of(self, process: str) -> int:
        """The port on which this process of `PROBED_PROCESSES` answers; 0 for any free one."""
        return self.probe_port + PROBED_PROCESSES.index(process) if self.probe_port else 0


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
