import threading
from collections.abc import Iterator

import pytest
from kafka.errors import KafkaConnectionError
from msgspec import Struct
from prometheus_client import REGISTRY

from serving.web.outbox import Letter, NotDelivered, Outbox
from stream.config import StreamConfig
from stream.events import INTERACTIONS, EventType, Interaction, utc
from stream.kafka.clients import open_consumer
from stream.kafka.producer import DeliveryError, EventProducer
from tests.waiting import wait_until

WAIT_SECONDS = 90


class Kafka:
    """A producer that does what it is told."""

    def __init__(self) -> None:
        self.sent: list[Struct] = []
        self.flushes = 0
        self.closed = False
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def send(self, topic: str, event: Struct, *, key: str, trace: str | None = None) -> None:
        self.sent.append(event)

    def flush(self, timeout_seconds: float) -> None:
        self.gate.wait(WAIT_SECONDS)
        self.flushes += 1
        if self.failure:
            raise self.failure

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
def outbox(kafka: Kafka) -> Iterator[Outbox]:
    made = Outbox(lambda: kafka, bound=5)  # type: ignore[arg-type, return-value]
    yield made
    kafka.gate.set()
    made.close()


def letter(number: int = 0) -> Letter:
    event = Interaction(
        event_time=utc(1_700_000_000_000),
        event_id=str(number),
        event_type=EventType.VIEW,
        user_id="ann",
        item_id="apple",
    )
    return Letter(INTERACTIONS, event, key="ann")


def test_what_is_offered_is_sent(outbox: Outbox, kafka: Kafka) -> None:
    assert all(outbox.offer(letter(n)) for n in range(3))
    wait_until(lambda: len(kafka.sent) == 3)


def test_delivery_waits_for_the_acknowledgement(outbox: Outbox, kafka: Kafka) -> None:
    outbox.deliver([letter(1), letter(2)], timeout_seconds=WAIT_SECONDS)
    assert len(kafka.sent) == 2
    assert kafka.flushes == 1


def test_a_failed_delivery_is_told_to_all_who_wait(outbox: Outbox, kafka: Kafka) -> None:
    kafka.failure = DeliveryError("gone")
    with pytest.raises(NotDelivered, match="gone"):
        outbox.deliver([letter()], timeout_seconds=WAIT_SECONDS)
    kafka.failure = None
    outbox.deliver([letter()], timeout_seconds=WAIT_SECONDS)


def test_a_delivery_that_takes_too_long_is_given_up(outbox: Outbox, kafka: Kafka) -> None:
    kafka.gate.clear()
    with pytest.raises(NotDelivered, match=r"0\.1 s"):
        outbox.deliver([letter()], timeout_seconds=0.1)


def refused() -> float:
    labels = {"topic": INTERACTIONS, "outcome": "refused"}
    return REGISTRY.get_sample_value("sagestream_outbox_events_total", labels) or 0.0


def test_a_full_queue_refuses_and_counts(outbox: Outbox, kafka: Kafka) -> None:
    before = refused()
    kafka.gate.clear()
    outbox.offer(letter())
    wait_until(lambda: kafka.sent)  # the thread now waits in flush
    assert [outbox.offer(letter(n)) for n in range(6)] == [True] * 5 + [False]
    with pytest.raises(NotDelivered, match="too many"):
        outbox.deliver([letter()], timeout_seconds=1)
    assert refused() == before + 2


def test_closing_sends_what_is_left(kafka: Kafka) -> None:
    outbox = Outbox(lambda: kafka, bound=5)  # type: ignore[arg-type, return-value]
    outbox.offer(letter())
    outbox.close()
    assert len(kafka.sent) == 1
    assert kafka.closed
    assert not outbox.offer(letter())
    outbox.close()


def test_events_in_hand_are_told_as_lost_too(outbox: Outbox, kafka: Kafka, caplog: pytest.LogCaptureFixture) -> None:
    kafka.gate.clear()
    outbox.offer(letter())
    wait_until(lambda: kafka.sent)  # in hand: the thread now waits in flush
    outbox.offer(letter(1))
    outbox.close(timeout_seconds=0.05)
    assert "2 events are lost" in caplog.text


def test_a_broker_that_comes_late_gets_the_impressions_but_no_stale_post(kafka: Kafka) -> None:
    there = threading.Event()

    def connect() -> Kafka:
        if not there.is_set():
            raise KafkaConnectionError("not yet")
        return kafka

    outbox = Outbox(connect, bound=5)  # type: ignore[arg-type]
    outbox.offer(letter(1))
    with pytest.raises(NotDelivered, match="cannot be reached"):
        outbox.deliver([letter(2)], timeout_seconds=WAIT_SECONDS)
    outbox.offer(letter(3))
    there.set()
    wait_until(lambda: len(kafka.sent) == 2)
    assert [event.event_id for event in kafka.sent] == ["1", "3"]  # type: ignore[attr-defined]
    outbox.close()


def test_closing_without_a_broker_ends(kafka_away: StreamConfig) -> None:
    def connect() -> EventProducer:
        raise KafkaConnectionError("away")

    before = set(threading.enumerate())
    outbox = Outbox(connect, bound=5)
    outbox.offer(letter())
    assert set(threading.enumerate()) - before
    outbox.close()
    assert not set(threading.enumerate()) - before


def test_what_is_in_hand_at_the_end_counts_as_lost(kafka: Kafka, caplog: pytest.LogCaptureFixture) -> None:
    kafka.gate.clear()
    outbox = Outbox(lambda: kafka, bound=5)  # type: ignore[arg-type, return-value]
    outbox.offer(letter(1))
    wait_until(lambda: kafka.sent)  # the thread now waits in flush
    outbox.offer(letter(2))
    outbox.close(timeout_seconds=0.01)
    assert "2 events are lost" in caplog.text
    kafka.gate.set()


def test_real_events_reach_a_real_broker(stream_config: StreamConfig) -> None:
    outbox = Outbox(lambda: EventProducer(stream_config), bound=1000)
    threads = [
        threading.Thread(target=outbox.deliver, args=([letter(n)],), kwargs={"timeout_seconds": WAIT_SECONDS})
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outbox.offer(letter(99))
    outbox.close()
    consumer = open_consumer(stream_config, INTERACTIONS, auto_offset_reset="earliest", consumer_timeout_ms=500)
    found: set[bytes] = set()

    def read() -> bool:
        found.update(record.value for record in consumer)
        return len(found) == 21

    wait_until(read)
    consumer.close()
