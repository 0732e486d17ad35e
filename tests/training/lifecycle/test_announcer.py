"""Announcements against a real broker: once for each champion, again where the broker was away."""

from contextlib import closing

import pytest
from kafka import KafkaConsumer
from sqlalchemy import Engine

from graphstore.session import write
from stream.config import StreamConfig
from stream.events import MODELS, ModelAnnouncement, decode, utc
from stream.kafka.clients import open_consumer
from tests.training.lifecycle.test_registry import model
from training.lifecycle import announcer, registry
from training.lifecycle.announcer import Announcer

NOW = 1_700_000_000_000


@pytest.fixture
def consumer(stream_config: StreamConfig):
    with closing(open_consumer(stream_config, MODELS, auto_offset_reset="earliest")) as opened:
        yield opened


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
    made = Announcer(sqlite_engine, stream_config, now=lambda: NOW)
    made.announce()  # nobody reigns
    promote(sqlite_engine, "m1")
    made.announce()
    made.announce()
    promote(sqlite_engine, "m2")
    made.announce()
    made.close()
    again = Announcer(sqlite_engine, stream_config, now=lambda: NOW)  # a new start repeats it
    again.announce()
    again.close()
    assert hear(consumer, 3) == [("m1", "champion"), ("m2", "champion"), ("m2", "champion")]


def test_a_broker_that_was_away_gets_the_announcement_with_the_next_call(
    sqlite_engine: Engine, kafka_away: StreamConfig, monkeypatch: pytest.MonkeyPatch
):
    told: list[str] = []

    class Producer:
        def __init__(self, *_: object, **__: object) -> None: ...

        def send(self, topic: str, event: ModelAnnouncement, *, key: str) -> None:
            told.append(event.model_version)

        def flush(self) -> None: ...

        def close(self) -> None: ...

    promote(sqlite_engine, "m1")
    monkeypatch.setattr(announcer, "BOOTSTRAP_SECONDS", 0.2)
    made = Announcer(sqlite_engine, kafka_away, now=lambda: NOW)
    made.announce()
    monkeypatch.setattr(announcer, "EventProducer", Producer)
    made.announce()
    made.announce()
    made.close()
    assert told == ["m1"]
