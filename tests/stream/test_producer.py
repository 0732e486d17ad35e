"""The producer: everything handed over arrives in order, and what does not arrive is told."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaTimeoutError

from sagestream.embedded import LOOPBACK, free_port, start_broker
from stream import events
from stream.config import StreamConfig
from stream.producer import DeliveryError, EventProducer
from stream.topics import create_topics
from tests.conftest import stream_config_of

TIME = datetime(2026, 1, 1, tzinfo=UTC)


def test_events_arrive_in_the_order_of_their_key(stream_config: StreamConfig) -> None:
    sent = [
        events.UserTouched(user_id=f"u{number % 3}", event_time=datetime(2026, 1, 1, 0, 0, number, tzinfo=UTC))
        for number in range(50)
    ]
    with EventProducer(stream_config) as producer:
        for event in sent:
            producer.send(events.USERS_TOUCHED, event, key=event.user_id)
        producer.flush()
        assert producer.delivered == 50
    consumer = KafkaConsumer(
        events.USERS_TOUCHED,
        bootstrap_servers=stream_config.kafka_bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=15_000,
        fetch_max_wait_ms=40,
    )
    found: dict[str, list[events.UserTouched]] = {}
    for _, message in zip(range(50), consumer, strict=False):
        event = events.decode(message.value, events.UserTouched, now=datetime.now(UTC))
        assert message.key == event.user_id.encode()
        found.setdefault(event.user_id, []).append(event)
    consumer.close()
    assert found == {f"u{user}": [event for event in sent if event.user_id == f"u{user}"] for user in range(3)}


def test_a_broker_that_is_not_there_is_told() -> None:
    config = StreamConfig.model_validate(
        {"kafka_bootstrap_servers": f"{LOOPBACK}:{free_port()}", "producer_idempotent": False}
    )
    with pytest.raises(KafkaTimeoutError, match="bootstrap"):
        EventProducer(config, bootstrap_seconds=0.5)


def test_what_a_broker_that_went_away_did_not_take_is_told(tmp_path: Path) -> None:
    broker = start_broker(tmp_path, home=None)
    config = stream_config_of(broker)
    create_topics(config)
    producer = EventProducer(config)
    broker.child.stop()
    producer.send(events.USERS_TOUCHED, events.UserTouched(user_id="u", event_time=TIME), key="u")
    with pytest.raises(DeliveryError):
        producer.close(timeout_seconds=0.5)
    assert not [thread for thread in threading.enumerate() if "kafka" in thread.name.lower()]
