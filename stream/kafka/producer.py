"""The producer: events keyed by user onto their topics, with every delivery accounted for.

Arrives: structs of `stream.events`. Leaves: messages on Kafka, acknowledged by all replicas, in order per key.

While the broker is away, events wait in memory for up to `DELIVERY_SECONDS` and go out when it is back: within two
seconds of its port, because `topics.connection_settings` bounds the pause between two tries to one. A full buffer
(`BUFFER_BYTES`; kafka-python has no bound of its own) makes `send` wait, so that memory stays flat. What did not
arrive is never passed over: `flush` and `close` raise, and a program that ends without either flushes at its exit and
says in the log what was lost.
"""

import atexit
import logging
import os
import threading
import time
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, UnknownError
from msgspec import Struct

from stream.config import StreamConfig
from stream.events import encode
from stream.kafka.connection_errors import reason_of_failure
from stream.kafka.topics import connection_settings

logger = logging.getLogger(__name__)

DELIVERY_SECONDS = 120.0
REQUEST_SECONDS = 10.0
FLUSH_SECONDS = 30.0
GIVE_UP_SECONDS = 5.0
SPLIT_SECONDS = 0.02

BUFFER_BYTES = 32 * 1024 * 1024
BLOCK_SECONDS = 60.0
MESSAGE_OVERHEAD_BYTES = 200
"""What a waiting message costs beside its key and value, about."""


class DeliveryError(RuntimeError):
    """Events that were handed over did not reach the broker."""


class EventProducer:
    """A kafka-python producer that never loses a failure: `flush` raises for everything that did not arrive.

    Without producer ids (`producer_idempotent` off) one request at a time keeps the order, and event ids make a
    repeated delivery harmless. Raises `KafkaTimeoutError`, with the reason, where no broker lets it in within
    `bootstrap_seconds`.
    """

    def __init__(self, config: StreamConfig, *, bootstrap_seconds: float = 10.0) -> None:
        self._config = config
        self._bootstrap_seconds = bootstrap_seconds
        self._producer = self._connect()
        self._renewing = threading.Lock()
        self._room = threading.Condition()  # guards all below
        self._pending = 0
        self._pending_bytes = 0
        self._delivered = 0
        self._failed = 0  # since the last flush
        self._last_error: KafkaError | None = None
        self._suspect = False  # something failed since the last look at the producer's health
        self._owner = os.getpid()
        atexit.register(self._at_exit)

    def _connect(self) -> KafkaProducer:
        config = self._config
        with reason_of_failure():
            made = KafkaProducer(
                acks="all",
                enable_idempotence=config.producer_idempotent,
                max_in_flight_requests_per_connection=5 if config.producer_idempotent else 1,
                linger_ms=config.producer_linger_ms,
                delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
                request_timeout_ms=int(REQUEST_SECONDS * 1000),
                bootstrap_timeout_ms=int(self._bootstrap_seconds * 1000),
                **connection_settings(config),
            )
        made._unregister_cleanup()  # at exit it drops within a second what is left: ours waits, and tells
        return made

    def _renew(self) -> None:
        """A new producer where kafka-python has given the old one up.

        With producer ids, one message that the broker refuses (too large for its topic, say) is a fatal error: the
        producer fails everything that it holds, and everything that comes after, for ever.
        """
        with self._renewing:
            manager = self._producer._transaction_manager
            if self._suspect and manager is not None and manager.has_fatal_error():
                logger.warning("a new connection to Kafka, after: %s", manager.last_error)
                old, self._producer = self._producer, self._connect()
                _let_go(old)
            self._suspect = False

    @property
    def delivered(self) -> int:
        """Messages that the broker has acknowledged."""
        return self._delivered

    @property
    def pending(self) -> int:
        """Messages handed over that the broker has neither acknowledged nor refused."""
        return self._pending

    def send(self, topic: str, event: Struct, *, key: str) -> Any:
        """Hand over one event; it is sent within the linger. As `send_raw`."""
        return self.send_raw(topic, encode(event), key=key.encode())

    def send_raw(self, topic: str, value: bytes | None, *, key: bytes | None) -> Any:
        """Hand over bytes as they are (None: a tombstone); kafka-python's future of the acknowledgement.

        Whether the future is looked at or not, `flush` tells of a failure. Raises `KafkaError` where the message is
        too large, or where the buffer stays full for `BLOCK_SECONDS`.
        """
        if self._suspect:
            self._renew()
        size = len(value or b"") + len(key or b"") + MESSAGE_OVERHEAD_BYTES
        with self._room:
            if not self._room.wait_for(lambda: self._pending_bytes < BUFFER_BYTES, BLOCK_SECONDS):
                raise KafkaTimeoutError(f"{self._pending} events have been waiting for Kafka for {BLOCK_SECONDS:g} s")
            self._pending += 1
            self._pending_bytes += size
        try:
            future = self._producer.send(topic, value=value, key=key)
        except BaseException:
            with self._room:
                self._settle(size)
            raise
        future.add_callback(self._on_delivered, size)
        future.add_errback(self._on_failed, size)
        return future

    def _settle(self, size: int) -> None:
        self._pending -= 1
        self._pending_bytes -= size
        self._room.notify()

    def _on_delivered(self, size: int, _metadata: object) -> None:
        with self._room:
            self._delivered += 1
            self._settle(size)

    def _on_failed(self, size: int, error: KafkaError) -> None:
        with self._room:
            self._failed += 1
            self._last_error = error
            self._suspect = True
            first = self._failed == 1
            self._settle(size)
        if first:  # of perhaps thousands that failed for the same reason; `flush` tells how many
            logger.error("an event did not reach Kafka: %s", error)

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> None:
        """Wait until everything handed over is acknowledged; raises `DeliveryError` naming how many are not."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                self._producer.flush(timeout=max(deadline - time.monotonic(), 0))
            except UnknownError:  # kafka-python's word for a batch that it has just split in two: not done yet
                time.sleep(SPLIT_SECONDS)
            except KafkaError as error:
                raise DeliveryError(f"{self.pending} events not acknowledged within {timeout_seconds:g} s") from error
            else:
                break
        with self._room:
            failed, error_seen = self._failed, self._last_error
            self._failed, self._last_error = 0, None
        if failed:
            raise DeliveryError(f"{failed} events did not reach Kafka: {error_seen}") from error_seen

    def close(self, timeout_seconds: float = FLUSH_SECONDS) -> None:
        """Flush, then let go of the connections; raises like `flush`. What did not arrive by then is given up."""
        atexit.unregister(self._at_exit)
        try:
            self.flush(timeout_seconds)
        finally:
            _let_go(self._producer)

    def _at_exit(self) -> None:
        """The program ends without `close`: deliver what is left, or say that it is lost."""
        if os.getpid() != self._owner:  # a fork inherits the handler, not the sending thread
            return
        try:
            self.close(FLUSH_SECONDS)
        except DeliveryError as error:
            logger.critical("lost at the program's exit: %s", error)

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


def _let_go(producer: KafkaProducer) -> None:
    """Close the connections; what is still under way is given up."""
    try:
        producer.close(timeout=0)
    except KafkaError:
        # kafka-python raises before it ends its thread, which would look for the broker for ever.
        producer._sender.force_close()
        producer.close(timeout=GIVE_UP_SECONDS)
