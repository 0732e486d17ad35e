"""Checks that a broker listens, once or until it does.

Called before kafka-python's clients are made, which try on for seconds where nobody listens. The worker waits here,
because Faust ends where no broker answers at its start.
"""

import socket
import threading
from collections.abc import Callable

from kafka.errors import KafkaConnectionError, KafkaError

from stream.config import StreamConfig
from stream.kafka.clients import open_admin
from stream.kafka.connection_errors import is_refusal

CONNECT_SECONDS = 2.0
RETRY_SECONDS = 1.0
BOOTSTRAP_MS = 10_000
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


def wait_until_answering(
    config: StreamConfig, stop: threading.Event, told: Callable[[str], None], *, retry_seconds: float = RETRY_SECONDS
) -> bool:
    """Wait until the broker lists its topics. Return False when `stop` is set first.

    Raises `KafkaError` when it refuses the password or the certificate, because no wait ends that.
    `told` gets the reason of each new problem, and an empty text at the end.
    """
    problem = ""
    while not stop.is_set():
        try:
            check_reachable(config)
            admin = open_admin(config, bootstrap_timeout_ms=BOOTSTRAP_MS)
            try:
                admin.list_topics()
            finally:
                admin.close()
        except KafkaError as error:
            if is_refusal(error):
                raise
            if str(error) != problem:
                problem = str(error)
                told(f"Kafka: {problem}")
            stop.wait(retry_seconds)
        else:
            told("")
            return True
    return False


def address_of(server: str) -> tuple[str, int]:
    """`host`, `host:port` or `[v6]:port`."""
    host, colon, port = server.strip().rpartition(":")
    if not colon or not port.isdigit():
        host, port = server.strip(), str(DEFAULT_PORT)
    return host.strip("[]"), int(port)
