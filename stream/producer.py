"""The producer: events keyed by user onto their topics, with every delivery accounted for.

Arrives: structs of `stream.events`. Leaves: messages on Kafka, acknowledged by all replicas, in order per key.
"""

import logging
import threading
from types import TracebackType
from typing import Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError
from msgspec import Struct

from stream.config import StreamConfig
from stream.events import encode
from stream.topics import connection_settings

logger = logging.getLogger(__name__)

GIVE_UP_SECONDS = 5.0


class DeliveryError(RuntimeError):
    """Events that were handed over did not reach the broker."""


class EventProducer:
    """A kafka-python producer that never loses a failure: `flush` raises for everything that did not arrive.

    Without producer ids (`producer_idempotent` off) one request at a time keeps the order, and event ids make a
    repeated delivery harmless. Raises `KafkaTimeoutError` where no broker answers within `bootstrap_seconds`.
    """

    def __init__(self, config: StreamConfig, *, bootstrap_seconds: float = 10.0) -> None:
        self._producer = KafkaProducer(
            acks="all",
            enable_idempotence=config.producer_idempotent,
            max_in_flight_requests_per_connection=5 if config.producer_idempotent else 1,
            linger_ms=config.producer_linger_ms,
            delivery_timeout_ms=120_000,
            request_timeout_ms=10_000,
            bootstrap_timeout_ms=int(bootstrap_seconds * 1000),
            **connection_settings(config),
        )
        self._lock = threading.Lock()
        self._delivered = 0
        self._failed = 0
        self._last_error: KafkaError | None = None

    @property
    def delivered(self) -> int:
        """Messages that the broker has acknowledged."""
        return self._delivered

    def send(self, topic: str, event: Struct, *, key: str) -> None:
        """Hand over one event; it is sent within the linger. Raises `KafkaError` where the buffer stays full."""
        self.send_raw(topic, encode(event), key=key.encode())

    def send_raw(self, topic: str, value: bytes | None, *, key: bytes | None) -> None:
        """Hand over bytes as they are (None: a tombstone)."""
        future = self._producer.send(topic, value=value, key=key)
        future.add_callback(self._on_delivered)
        future.add_errback(self._on_failed)

    def _on_delivered(self, _metadata: object) -> None:
        with self._lock:
            self._delivered += 1

    def _on_failed(self, error: KafkaError) -> None:
        logger.error("an event did not reach Kafka: %s", error)
        with self._lock:
            self._failed += 1
            self._last_error = error

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Wait until everything handed over is acknowledged; raises `DeliveryError` naming how many are not."""
        try:
            self._producer.flush(timeout=timeout_seconds)
        except KafkaError as error:
            raise DeliveryError(f"not acknowledged within {timeout_seconds} s: {error}") from error
        with self._lock:
            failed, error_seen = self._failed, self._last_error
            self._failed, self._last_error = 0, None
        if failed:
            raise DeliveryError(f"{failed} events did not reach Kafka: {error_seen}") from error_seen

    def close(self, timeout_seconds: float = 30.0) -> None:
        """Flush, then let go of the connections; raises like `flush`. What did not arrive by then is given up."""
        try:
            self.flush(timeout_seconds)
        finally:
            try:
                self._producer.close(timeout=0)
            except KafkaTimeoutError:
                # kafka-python raises before it ends its thread, which would look for the broker for ever.
                self._producer._sender.force_close()
                self._producer.close(timeout=GIVE_UP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close(GIVE_UP_SECONDS)
        except DeliveryError as undelivered:  # told, but not instead of the error that ended the block
            logger.error("%s", undelivered)
