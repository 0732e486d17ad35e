"""Outbox: sends events to Kafka outside the request, with one bounded queue and one sending thread in each process.

Arrives: impressions, for which no request waits, and posted events, whose request waits for the acknowledgement.
Leaves: messages on Kafka. Next: `stream.worker.app`.

Rejected: kafka-python's `send` inside a request, because it nearly doubles the cost, and `flush` waits for the
messages of all requests. Here, one thread sends all queued events, flushes once, and reports the result to each waiting
request (a group commit). When no request waits, the thread collects events a little longer, because many small batches
are expensive for a broker.
"""

import atexit
import logging
import threading
import time
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import util as multiprocessing_util

from kafka.errors import KafkaError
from msgspec import Struct
from prometheus_client import Counter

from graphstore.errors import UserError
from graphstore.log_context import logged_with
from graphstore.metric_labels import known
from graphstore.tracing import traceparent
from stream.kafka.producer import DeliveryError, EventProducer
from stream.kafka.topics import TOPIC_NAMES
from stream.routes import ROUTES, Event

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.1
RECONNECT_SECONDS = 1.0
FLUSH_SECONDS = 4.0
CLOSE_SECONDS = 6.0  # a supervisor kills a process after about ten
MAX_BATCH_EVENTS = 2000
LOGGED_IDS = 5

OUTCOMES = ("delivered", "failed", "refused", "limited")

_events = Counter("sagestream_outbox_events", "Events for Kafka, by what became of them", ["topic", "outcome"])


def count(topic: str, outcome: str, events: int = 1) -> None:
    """Count events by what became of them, one of `OUTCOMES`."""
    _events.labels(known(topic, TOPIC_NAMES), known(outcome, OUTCOMES)).inc(events)


def _event_ids(parcels: "Sequence[_Parcel]") -> list[str]:
    """Return the ids of the first events, as many as a log line may hold: the event's own, or the list's."""
    named = (letter.event for parcel in parcels for letter in parcel.letters)
    ids = (str(getattr(event, "event_id", None) or getattr(event, "request_id", "")) for event in named)
    return list(islice(filter(None, ids), LOGGED_IDS))


class NotDelivered(RuntimeError):
    """Kafka did not acknowledge the events in time. A second post is safe, because each event id counts once."""


@dataclass(frozen=True)
class Letter:
    """One event with its topic and key. None deletes what the key names, on a compacted topic."""

    topic: str
    event: Struct | None
    key: str


def letter_of(event: Event) -> Letter:
    """Return the letter of an event, to the topic of its kind. Its key keeps the events of one shopper in order."""
    route = ROUTES[type(event)]
    return Letter(route.topic, event, key=getattr(event, route.key))


@dataclass(frozen=True)
class _Parcel:
    letters: Sequence[Letter]
    receipt: "Future[None] | None"  # None: no request waits
    trace: str | None
    """The span of the request."""


class Outbox:
    """A bounded queue with a sending thread. `connect` creates the producer and is called until it succeeds.

    `close` sends the remaining events. It runs automatically at the exit of the process, also in a forked worker, where
    `atexit` does not run.
    """

    def __init__(self, connect: Callable[[], EventProducer], *, bound: int) -> None:
        self._connect = connect
        self._bound = bound
        self._parcels: deque[_Parcel] = deque()
        self._waiting = 0  # letters in the queue
        self._in_hand = 0  # letters that are being sent
        self._urgent = 0  # parcels in the queue with a waiting request
        self._closing = False
        self._changed = threading.Condition()
        self._producer: EventProducer | None = None
        self._finalizer = multiprocessing_util.Finalize(None, self.close, exitpriority=100)
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def offer(self, letter: Letter) -> bool:
        """Queue an event without waiting. A full queue counts it as refused and returns False. Never blocks."""
        if self._put(_Parcel([letter], None, traceparent())):
            return True
        count(letter.topic, "refused")
        return False

    def deliver(self, letters: Sequence[Letter], *, timeout_seconds: float) -> None:
        """Send events and wait for Kafka's acknowledgement. Raises `NotDelivered`."""
        receipt: Future[None] = Future()
        if not self._put(_Parcel(letters, receipt, traceparent())):
            for letter in letters:
                count(letter.topic, "refused")
            raise NotDelivered("too many events are waiting for Kafka")
        try:
            receipt.result(timeout_seconds)
        except TimeoutError as error:
            raise NotDelivered(f"Kafka did not acknowledge within {timeout_seconds:g} s") from error

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Send the remaining events and stop. The log reports lost events. Idempotent."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        atexit.unregister(self.close)
        self._finalizer.cancel()
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            lost = self._waiting + self._in_hand
            if lost:
                logger.error("the outbox did not empty within %g s: %d events are lost", timeout_seconds, lost)
            else:
                logger.warning("Kafka did not close the connection within %g s", timeout_seconds)

    def _put(self, parcel: _Parcel) -> bool:
        with self._changed:
            if self._closing or self._waiting + len(parcel.letters) > self._bound:
                return False
            # A thread that gathers is not woken for each impression: that costs more than the impression.
            wakes = not self._parcels or parcel.receipt is not None
            self._parcels.append(parcel)
            self._waiting += len(parcel.letters)
            self._urgent += parcel.receipt is not None
            if wakes:
                self._changed.notify()
        return True

    def _run(self) -> None:
        while (parcels := self._take()) is not None:
            if parcels and self._connected():
                self._send(parcels)
            elif parcels:
                self._keep(parcels)
            self._in_hand = 0
        if self._producer is not None:
            try:
                self._producer.close()
            except (KafkaError, DeliveryError) as error:
                logger.error("events were lost at the end: %s", error)

    def _take(self) -> list[_Parcel] | None:
        """Wait for parcels and take them. Return None when the outbox is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._parcels or self._closing)
            deadline = time.monotonic() + GATHER_SECONDS
            while not (self._urgent or self._closing) and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            if not self._parcels:
                return None if self._closing else []
            taken: list[_Parcel] = []
            letters = 0
            while self._parcels and (not taken or letters + len(self._parcels[0].letters) <= MAX_BATCH_EVENTS):
                parcel = self._parcels.popleft()
                taken.append(parcel)
                letters += len(parcel.letters)
                self._urgent -= parcel.receipt is not None
            self._waiting -= letters
            self._in_hand = letters
            return taken

    def _connected(self) -> bool:
        if self._producer is None:
            try:
                self._producer = self._connect()
            except (KafkaError, UserError) as error:
                logger.warning("Kafka cannot be reached, %d events wait: %s", self._waiting + self._in_hand, error)
                return False
            # Exit handlers run in reverse order: this one runs before the producer's, which would drop queued events.
            atexit.register(self.close)
        return True

    def _keep(self, parcels: Sequence[_Parcel]) -> None:
        """Without a broker: fail the waiting requests, keep the other events for the next try, and pause."""
        patient = [parcel for parcel in parcels if parcel.receipt is None]
        waited_for = [parcel for parcel in parcels if parcel.receipt is not None]
        self._settle(waited_for, "failed", NotDelivered("Kafka cannot be reached"))
        with self._changed:
            if self._closing:
                lost = sum(len(parcel.letters) for parcel in patient)
                if lost:
                    logger.error("Kafka cannot be reached at the end: %d events are lost", lost)
                return
            self._in_hand = 0
            self._parcels.extendleft(reversed(patient))
            self._waiting += sum(len(parcel.letters) for parcel in patient)
            self._changed.wait_for(lambda: self._closing or self._urgent, RECONNECT_SECONDS)

    def _send(self, parcels: Sequence[_Parcel]) -> None:
        assert self._producer is not None
        with logged_with(event_ids=partial(_event_ids, parcels)):
            failure = self._handed_over(parcels, self._producer)
        self._settle(parcels, "failed" if failure else "delivered", failure)

    @staticmethod
    def _handed_over(parcels: Sequence[_Parcel], producer: EventProducer) -> NotDelivered | None:
        """Send and wait for Kafka; return what went wrong."""
        try:
            for parcel in parcels:
                for letter in parcel.letters:
                    if letter.event is None:
                        producer.send_raw(letter.topic, None, key=letter.key.encode(), trace=parcel.trace)
                    else:
                        producer.send(letter.topic, letter.event, key=letter.key, trace=parcel.trace)
            producer.flush(FLUSH_SECONDS)
        except (KafkaError, DeliveryError) as error:
            logger.error("events did not reach Kafka: %s", error)
            return NotDelivered(f"Kafka did not acknowledge: {error}")
        return None

    @staticmethod
    def _settle(parcels: Sequence[_Parcel], outcome: str, failure: NotDelivered | None) -> None:
        for topic, events in Counts(letter.topic for parcel in parcels for letter in parcel.letters).items():
            count(topic, outcome, events)
        for parcel in parcels:
            if parcel.receipt is None:
                continue
            if failure is None:
                parcel.receipt.set_result(None)
            else:
                parcel.receipt.set_exception(failure)
