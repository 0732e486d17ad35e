"""Checks that a broker listens.

Called before kafka-python's consumer is made: a consumer that cannot start leaves a thread and open files behind.
"""

import socket

from kafka.errors import KafkaConnectionError

from stream.config import StreamConfig

CONNECT_SECONDS = 2.0
DEFAULT_PORT = 9092


def check_reachable(config: StreamConfig, *, timeout_seconds: float = CONNECT_SECONDS) -> None:
    """Return when one broker accepts a connection. Raises `KafkaConnectionError` with the last failure."""
    failure: OSError | None = None
    for server in config.kafka_bootstrap_servers.split(","):
        try:
            socket.create_connection(address_of(server), timeout=timeout_seconds).close()
        except OSError as error:
            failure = error
        else:
            return
    why = "no answer" if failure is None else failure.strerror or failure
    raise KafkaConnectionError(f"no broker at {config.kafka_bootstrap_servers}: {why}")


def address_of(server: str) -> tuple[str, int]:
    """`host`, `host:port` or `[v6]:port`."""
    host, colon, port = server.strip().rpartition(":")
    if not colon or not port.isdigit():
        host, port = server.strip(), str(DEFAULT_PORT)
    return host.strip("[]"), int(port)
