"""Lag against real brokers with known numbers: so many produced, so many consumed."""

from collections.abc import Mapping

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata
from sqlalchemy import Engine

from graphstore.ingest import record_progress
from graphstore.session import write
from sagestream.playground.embedded import LOOPBACK, free_port
from stream import events
from stream.config import StreamConfig
from stream.kafka.clients import connection_settings, open_consumer
from stream.kafka.lag import PartitionLag, lag_of, measure

TP = TopicPartition("interactions", 2)


def produce(config: StreamConfig, topic: str, counts: Mapping[int, int]) -> None:
    """In batches of several, of hundreds and of one: the embedded broker's latest offset is wrong by a batch."""
    producer = KafkaProducer(
        enable_idempotence=config.producer_idempotent,
        max_in_flight_requests_per_connection=1,
        linger_ms=20,
        **connection_settings(config),
    )
    for partition, count in counts.items():
        for _ in range(count):
            producer.send(topic, value=b"x" * 200, key=b"k", partition=partition)
        producer.flush()
    producer.close()


def commit(config: StreamConfig, topic: str, offsets: Mapping[int, int], group: str) -> None:
    consumer = open_consumer(config, group_id=group, enable_auto_commit=False)
    partitions = {TopicPartition(topic, partition): offset for partition, offset in offsets.items()}
    consumer.assign(list(partitions))
    consumer.commit({tp: OffsetAndMetadata(offset, "", -1) for tp, offset in partitions.items()})
    consumer.close()


def grouped(config: StreamConfig, group: str) -> StreamConfig:
    return config.model_copy(update={"worker_group": group})


def test_what_was_produced_less_what_was_consumed(stream_config: StreamConfig, sqlite_engine: Engine) -> None:
    config = grouped(stream_config, "counted")
    produce(config, events.INTERACTIONS, {0: 5000, 1: 17, 2: 1})
    fresh = measure(config, sqlite_engine, [events.INTERACTIONS, "no.such.topic", events.CATALOG])
    assert fresh == [
        *(PartitionLag(events.INTERACTIONS, partition, behind) for partition, behind in enumerate([5000, 17, 1, 0])),
        *(PartitionLag(events.CATALOG, partition, 0) for partition in range(4)),
    ]
    done = {0: 1234, 1: 17, 2: 1}
    with write(sqlite_engine) as connection:
        record_progress(connection, events.INTERACTIONS, done, now=1)
    commit(config, events.INTERACTIONS, done, "counted")
    assert [(one.behind, one.remark) for one in measure(config, sqlite_engine, [events.INTERACTIONS])] == [
        (3766, ""),
        (0, ""),
        (0, ""),
        (0, ""),
    ]
    produce(config, events.INTERACTIONS, {1: 1, 3: 250})
    assert [one.behind for one in measure(config, sqlite_engine, [events.INTERACTIONS])] == [3766, 1, 0, 250]
    assert [one.behind for one in measure(grouped(config, "another"), sqlite_engine, [events.INTERACTIONS])] == [
        5000,
        18,
        1,
        250,
    ]


def test_progress_of_another_brokers_log_is_told_and_not_counted(
    stream_config: StreamConfig, sqlite_engine: Engine
) -> None:
    config = grouped(stream_config, "moved")
    produce(config, events.USERS, {0: 30})
    with write(sqlite_engine) as connection:
        record_progress(connection, events.USERS, {0: 900_000, 1: 5}, now=1)
    first, second, *others = measure(config, sqlite_engine, [events.USERS])
    assert first.behind == 30
    assert first.remark == "stream_progress holds 900,000, beyond the log's end at 30: it is of another log"
    assert second.behind == 0
    assert "stream_progress holds 5" in second.remark
    assert [one.remark for one in others] == ["", ""]


BEYOND = "stream_progress holds 500, beyond the log's end at 100"


@pytest.mark.parametrize(
    ("begin", "end", "committed", "row", "behind", "said"),
    [
        (0, 100, None, None, 100, ""),
        (0, 100, 40, 40, 60, ""),
        (0, 100, 40, 55, 60, ""),  # in SQL, and not committed yet
        (30, 100, None, None, 70, ""),
        (30, 100, 10, 10, 70, "20 messages were deleted from the log before they were read"),
        (0, 100, 100, 100, 0, ""),
        (0, 100, 500, 500, 100, BEYOND),
        (0, 100, None, 500, 100, BEYOND),
        (0, 100, 60, 500, 40, f"{BEYOND}: it is of another log, created again"),
        (0, 100, 500, 90, 100, "the group has committed 500, beyond the log's end at 100"),
        (0, 100, 40, None, 60, "the group has committed 40, the database holds up to 0: it is another one"),
        (0, 100, 40, 20, 60, "the group has committed 40, the database holds up to 20: it is another one"),
    ],
)
def test_what_does_not_fit_is_told(
    begin: int, end: int, committed: int | None, row: int | None, behind: int, said: str
) -> None:
    found = lag_of(TP, begin, end, committed, row)
    assert found[:3] == ("interactions", 2, behind)
    assert found.remark.startswith(said)
    assert bool(found.remark) is bool(said)
    assert found.goes_on is (not said or "created again" in said)


def test_a_broker_that_is_away_is_an_error(sqlite_engine: Engine) -> None:
    away = StreamConfig(kafka_bootstrap_servers=f"{LOOPBACK}:{free_port()}")
    with pytest.raises(KafkaError):
        measure(away, sqlite_engine, [events.INTERACTIONS], timeout_seconds=0.5)
