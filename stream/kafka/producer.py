"""The producer: sends events to their topics and accounts for every delivery.

Arrives: structs of `stream.events`. Leaves: messages on Kafka, acknowledged by all replicas, in order per key.

While the broker is unreachable, events wait in memory for up to `DELIVERY_SECONDS`. They are sent within two seconds
after the broker listens again, because `clients.connection_settings` limits the pause between two attempts to one
second. When the buffer is full (`BUFFER_BYTES`; kafka-python has no limit), `send` waits, so memory stays bounded. No
failure is lost: `flush` and `close` raise. A program that ends without them flushes at its exit and logs the number of
lost events.
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

from graphstore.errors import UserError
from graphstore.trace_header import header_of
from stream.config import StreamConfig
from stream.events import encode
from stream.kafka.clients import open_producer
from stream.kafka.topics import PRODUCER_HEADER

logger = logging.getLogger(__name__)

LINGER_MS = 20
"""How long a batch gathers before it is sent: batches of hundreds at full load, unnoticed by a shopper."""
BATCH_BYTES = 256 * 1024
"""A batch is sent when it has this size, or after the linger time. With kafka-python's 16 kB, the work for each batch
costs half as much as the messages: eight served lists fill one."""
DELIVERY_SECONDS = 120.0
REQUEST_SECONDS = 10.0
FLUSH_SECONDS = 30.0
GIVE_UP_SECONDS = 5.0
SPLIT_SECONDS = 0.02

BUFFER_BYTES = 32 * 1024 * 1024
BLOCK_SECONDS = 60.0
MESSAGE_OVERHEAD_BYTES = 200
"""The approximate memory of a waiting message without its key and value."""


class DeliveryError(UserError):
    """Sent events did not reach the broker."""


class EventProducer:
    """A kafka-python producer that never loses a failure: `flush` raises for every event that did not arrive.

    Without producer ids (`producer_idempotent` off) only one request is sent at a time, which keeps the order. Event
    ids make a repeated delivery harmless. Raises `KafkaTimeoutError` with the reason when no broker accepts the client
    within `bootstrap_seconds`. The producer gathers a batch for `linger_ms` before it sends it. Messages carry `name`
    in the header `stream.kafka.topics.PRODUCER_HEADER`, so that the dead letter limit knows their sender.
    """

    def __init__(
        self,
        config: StreamConfig,
        *,
        bootstrap_seconds: float = 10.0,
        linger_ms: int = LINGER_MS,
        name: str | None = None,
    ) -> None:
        self._config = config
        self._linger_ms = linger_ms
        self._headers = [(PRODUCER_HEADER, name.encode())] if name else None
        self._bootstrap_seconds = bootstrap_seconds
        self._producer = self._connect()
        self._renewing = threading.Lock()
        self._room = threading.Condition()  # guards all below
        self._pending = 0
        self._pending_bytes = 0
        self._delivered = 0
        self._failed = 0  # since the last flush
        self._last_error: KafkaError | None = None
        self._suspect = False  # something failed since the producer was last checked
        self._deaf: KafkaTimeoutError | None = None  # a topic of which nothing was heard in time
        self._owner = os.getpid()
        atexit.register(self._at_exit)

    def _connect(self) -> KafkaProducer:
        config = self._config
        made = open_producer(
            config,
            acks="all",
            enable_idempotence=config.producer_idempotent,
            max_in_flight_requests_per_connection=5 if config.producer_idempotent else 1,
            linger_ms=self._linger_ms,
            batch_size=BATCH_BYTES,
            delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
            bootstrap_timeout_ms=int(self._bootstrap_seconds * 1000),
        )
        made._unregister_cleanup()  # at exit it drops waiting events after a second; ours waits and logs
        return made

    def _renew(self) -> None:
        """Replace a producer that is in a fatal state, or that hears nothing of a topic while no message waits.

        With producer ids, a single refused message (for example too large for its topic) is fatal: the producer then
        fails all its messages and all later ones. And kafka-python's task that asks for topics can end for ever by an
        error in its first request: each send then waits in vain, however well the broker is.
        """
        with self._renewing:
            manager = self._producer._transaction_manager
            why: Exception | None = None
            if self._suspect and manager is not None and manager.has_fatal_error():
                why = manager.last_error
            elif self._deaf is not None and not self._pending:
                why = self._deaf
            if why is not None:
                logger.warning("a new connection to Kafka, after: %s", why)
                old, self._producer = self._producer, self._connect()
                _let_go(old)
            self._suspect, self._deaf = False, None

    @property
    def delivered(self) -> int:
        """The number of messages that the broker has acknowledged."""
        return self._delivered

    @property
    def pending(self) -> int:
        """The number of messages that the broker has neither acknowledged nor refused."""
        return self._pending

    def send(self, topic: str, event: Struct, *, key: str, trace: str | None = None) -> Any:
        """Send one event within the linger time. See `send_raw`."""
        return self.send_raw(topic, encode(event), key=key.encode(), trace=trace)

    def send_raw(self, topic: str, value: bytes | None, *, key: bytes | None, trace: str | None = None) -> Any:
        """Send bytes (None: a tombstone) and return kafka-python's future of the acknowledgement.

        `trace` is the `traceparent` of the span to which the message belongs.

        `flush` reports a failure even when nobody reads the future. Raises `KafkaError` when the message is too large
        or the buffer stays full for `BLOCK_SECONDS`.
        """
        if self._suspect or self._deaf:
            self._renew()
        size = len(value or b"") + len(key or b"") + MESSAGE_OVERHEAD_BYTES
        with self._room:
            if not self._room.wait_for(lambda: self._pending_bytes < BUFFER_BYTES, BLOCK_SECONDS):
                raise KafkaTimeoutError(f"{self._pending} events have been waiting for Kafka for {BLOCK_SECONDS:g} s")
            self._pending += 1
            self._pending_bytes += size
        try:
            headers = self._headers if trace is None else [*(self._headers or ()), *header_of(trace)]
            future = self._producer.send(topic, value=value, key=key, headers=headers)
        except BaseException as error:
            with self._room:
                self._settle(size)
                if isinstance(error, KafkaTimeoutError):
                    self._deaf = error
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
        if first:  # thousands may fail for the same reason; `flush` reports the number
            logger.error("an event did not reach Kafka: %s", error)

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> None:
        """Wait until all sent messages are acknowledged. Raises `DeliveryError` with the number that is not."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                self._producer.flush(timeout=max(deadline - time.monotonic(), 0))
            except UnknownError:  # kafka-python has just split a batch in two and is not done yet
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
        """Flush and close the connections; raises like `flush`. Messages that have not arrived by then are dropped."""
        atexit.unregister(self._at_exit)
        try:
            self.flush(timeout_seconds)
        finally:
            _let_go(self._producer)

    def _at_exit(self) -> None:
        """Deliver waiting events when the program ends without `close`, or log that they are lost."""
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
        except DeliveryError as undelivered:  # logged, so that it does not hide the error that ended the block
            logger.error("%s", undelivered)


def _let_go(producer: KafkaProducer) -> None:
    """Close the connections and drop unfinished requests."""
    try:
        producer.close(timeout=0)
    except KafkaError:
        # kafka-python raises before it ends its thread, which would try to reach the broker for ever.
        producer._sender.force_close()
        producer.close(timeout=GIVE_UP_SECONDS)
