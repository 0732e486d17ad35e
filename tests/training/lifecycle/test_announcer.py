"""Announcements against a real broker: once for each champion, again where the broker was away."""

import pytest
from kafka import KafkaConsumer
from sqlalchemy import Engine

from graphstore.session import write
from stream.config import StreamConfig
from stream.events import MODELS, ModelAnnouncement, decode, utc
from tests.training.lifecycle.test_registry import model
from training.lifecycle import registry
from training.lifecycle.announcer import Announcer

NOW = 1_700_000_000_000


@pytest.fixture
def consumer(stream_config: StreamConfig):
    opened = KafkaConsumer(
        MODELS, bootstrap_servers=stream_config.kafka_bootstrap_servers, auto_offset_reset="earliest"
    )
    yield opened
    opened.close()


def hear(consumer: KafkaConsumer, count: int) -> list[tuple[str, str]]:
    heard: list[ModelAnnouncement] = []
    for _ in range(100):
        for records in consumer.poll(200).values():
            heard.extend(decode(record.value, ModelAnnouncement, now=utc(NOW)) for record in records)
        if len(heard) >= count:
            break
    return [(event.model_version, event.status) for event in heard]


def promote(engine: Engine, version: str) -> None:
    with write(engine) as connection:
        registry.register(connection, model(version))
        registry.promote(connection, version, now=NOW)


def test_each_champion_once(sqlite_engine: Engine, stream_config: StreamConfig, consumer: KafkaConsumer):
    announcer = Announcer(sqlite_engine, stream_config, now=lambda: NOW)
    announcer.look()  # nobody reigns
    promote(sqlite_engine, "m1")
    announcer.look()
    announcer.look()
    promote(sqlite_engine, "m2")
    announcer.look()
    announcer.close()
    again = Announcer(sqlite_engine, stream_config, now=lambda: NOW)  # a new start repeats it
    again.look()
    again.close()
    assert hear(consumer, 3) == [("m1", "champion"), ("m2", "champion"), ("m2", "champion")]


def test_a_broker_that_is_away_is_only_a_warning(sqlite_engine: Engine, caplog: pytest.LogCaptureFixture):
    promote(sqlite_engine, "m1")
    away = StreamConfig(kafka_bootstrap_servers="127.0.0.1:9")
    announcer = Announcer(sqlite_engine, away, now=lambda: NOW)
    announcer.look()
    announcer.close()
    assert "m1 is not announced yet" in caplog.text
