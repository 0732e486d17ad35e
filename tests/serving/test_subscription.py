import threading
import time
from collections.abc import Callable

from serving.subscription import Subscription
from stream.config import StreamConfig
from stream.events import USERS_TOUCHED, UserTouched, utc
from stream.producer import EventProducer

WAIT_SECONDS = 30


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < deadline


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

    until(lambda: read(reader, 5))
    assert sorted(keys) == [b"u0", b"u1", b"u2", b"u3", b"u4"]
    reader.close()
    send(stream_config, "late")
    again = subscription(stream_config, "first")
    until(lambda: read(again, 6))
    assert keys[5:] == [b"late"]
    again.close()


def test_a_broker_that_is_away_is_an_error_to_look_at_and_not_a_crash(kafka_away: StreamConfig) -> None:
    reader = subscription(kafka_away, "away")
    reader._stop.set()  # no pause between tries
    assert reader.poll(0.1) == []
    assert reader.error is not None
    reader.close()
