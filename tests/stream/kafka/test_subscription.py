import threading
from typing import Any

import pytest
from kafka import KafkaConsumer

from stream.config import StreamConfig
from stream.events import USERS_TOUCHED, UserTouched, utc
from stream.kafka.producer import EventProducer
from stream.kafka.subscription import SETTLE_SECONDS, Subscription
from tests.waiting import wait_until


def subscription(config: StreamConfig, group: str) -> Subscription:
    return Subscription(config, USERS_TOUCHED, group=group, max_records=3, stop=threading.Event())


def send(config: StreamConfig, *users: str) -> None:
    with EventProducer(config) as producer:
        for user in users:
            producer.send(USERS_TOUCHED, UserTouched(event_time=utc(5), user_id=user), key=user)


def test_a_group_reads_from_the_beginning_and_goes_on_where_it_left(stream_config: StreamConfig) -> None:
    send(stream_config, *(f"u{n}" for n in range(5)))
    reader = subscription(stream_config, "first")
    keys: list[bytes] = []

    def read(reader: Subscription, count: int) -> bool:
        records = reader.poll(0.2)
        assert len(records) <= 3
        keys.extend(record.key for record in records)
        return len(keys) >= count

    wait_until(lambda: read(reader, 5))
    assert sorted(keys) == [b"u0", b"u1", b"u2", b"u3", b"u4"]
    reader.close()
    send(stream_config, "late")
    again = subscription(stream_config, "first")
    wait_until(lambda: read(again, 6))
    assert keys[5:] == [b"late"]
    again.close()


def test_a_broker_that_is_away_is_an_error_to_look_at_and_not_a_crash(kafka_away: StreamConfig) -> None:
    stopped = threading.Event()
    stopped.set()  # no pause between tries
    reader = Subscription(kafka_away, USERS_TOUCHED, group="away", max_records=3, stop=stopped)
    assert reader.poll(0.1) == []
    assert reader.error is not None
    reader.close()


def test_a_member_that_is_given_nothing_joins_anew_and_waits_longer_each_time(
    stream_config: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[KafkaConsumer] = []

    def join(*topics: str, **settings: Any) -> KafkaConsumer:
        joined.append(KafkaConsumer(*topics, **settings))
        return joined[-1]

    monkeypatch.setattr("stream.kafka.subscription.KafkaConsumer", join)
    moment = [0.0]
    reader = Subscription(
        stream_config, USERS_TOUCHED, group="unsettled", max_records=3, stop=threading.Event(), clock=lambda: moment[0]
    )
    for count, waited in ((1, SETTLE_SECONDS), (2, 2 * SETTLE_SECONDS)):  # a poll of no time cannot join a group
        reader.poll(0.0)
        assert reader.settle_seconds == waited
        moment[0] += waited - 1
        reader.poll(0.0)
        assert reader.settle_seconds == waited
        moment[0] += 1
        reader.poll(0.0)
        assert reader.settle_seconds == 2 * waited
        assert len(joined) == count
    send(stream_config, "u0")
    wait_until(lambda: bool(reader.poll(0.2)))
    assert reader.assigned
    assert reader.settle_seconds == SETTLE_SECONDS
    reader.close()
