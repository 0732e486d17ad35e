import os
import signal
import threading
import time
from collections.abc import Collection

import psutil

from sagestream.playground.embedded import Broker
from stream.config import StreamConfig
from stream.events import USERS_TOUCHED, UserTouched, utc
from stream.kafka.producer import EventProducer
from stream.kafka.subscription import JOIN_SECONDS, SETTLE_SECONDS, PartitionWait, Subscription
from tests.waiting import wait_until


def subscription(config: StreamConfig, group: str) -> Subscription:
    return Subscription(config, USERS_TOUCHED, group=group, max_records=3)


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
    assert reader.poll(0.0) == []  # those five are handled
    reader.close()
    send(stream_config, "late")
    again = subscription(stream_config, "first")
    wait_until(lambda: read(again, 6))
    assert keys[5:] == [b"late"]
    again.close()


def test_records_that_were_read_ahead_come_again_when_they_were_not_handled(stream_config: StreamConfig) -> None:
    send(stream_config, *(f"ahead{n}" for n in range(7)))
    reader = subscription(stream_config, "ahead")
    read: list[bytes] = []

    def reads_on(reader: Subscription, wanted: set[bytes]) -> bool:
        read.extend(record.key for record in reader.poll(0.2, handled=False))
        return wanted <= set(read)

    wait_until(lambda: reads_on(reader, {b"ahead%d" % n for n in range(7)}))
    reader.close()
    again, first = subscription(stream_config, "ahead"), set(read)  # with some of what other tests sent before
    read.clear()
    wait_until(lambda: reads_on(again, first))
    again.poll(0.0)  # all are handled
    again.close()
    rest = subscription(stream_config, "ahead")
    wait_until(lambda: rest.assigned)
    assert not first & {record.key for record in rest.poll(0.5)}
    rest.close()


def test_a_broker_that_is_away_is_an_error_to_look_at_and_not_a_crash(kafka_away: StreamConfig) -> None:
    reader = subscription(kafka_away, "away")
    wait_until(lambda: reader.error is not None)
    assert reader.poll(0.1) == []
    reader.close()


def cpu_seconds(others: Collection[int]) -> dict[int, float]:
    """What each thread of this process but the `others` has used, by its id."""
    threads = psutil.Process().threads()
    return {thread.id: thread.user_time + thread.system_time for thread in threads if thread.id not in others}


def test_a_broker_that_hangs_costs_no_core_and_is_followed_again(stream_config: StreamConfig, broker: Broker) -> None:
    others = cpu_seconds(()).keys() - {threading.get_native_id()}  # of other tests, whose work is not the reader's
    reader = subscription(stream_config, "hung")
    wait_until(lambda: reader.assigned)
    os.kill(broker.child.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: reader.poll(2.0) == [])  # what had come before is read, and a heartbeat is overdue now
        began, used = time.monotonic(), cpu_seconds(others)
        assert reader.poll(2.0) == []
        took = time.monotonic() - began
        share = sum(now - used[one] for one, now in cpu_seconds(others).items() if one in used) / took
    finally:
        os.kill(broker.child.pid, signal.SIGCONT)
    assert share < 0.3  # a thread that asks without a pause takes a whole core, and no neighbour raises this share
    send(stream_config, "after")
    wait_until(lambda: b"after" in [record.key for record in reader.poll(0.2)])
    reader.close()


def test_a_caller_that_does_something_else_joins_and_keeps_its_partitions(
    stream_config: StreamConfig, broker: Broker
) -> None:
    """As near-line, which loads a model before it asks for touches, and later between two of them."""
    users = [f"busy{n}" for n in range(9)]
    send(stream_config, *users)
    busy = subscription(stream_config, "busy")
    wait_until(lambda: busy.assigned)  # nobody polls
    if broker.kind == "kafka":  # a group of several members is slow on the embedded broker, and not needed there
        other = subscription(stream_config, "busy")
        wait_until(lambda: other.assigned)  # a rebalance needs an answer of every member
        other.close()
        wait_until(lambda: busy.assigned)
    found: list[bytes] = []

    def read() -> bool:
        found.extend(record.key for record in busy.poll(0.2))
        return {user.encode() for user in users} <= set(found)

    wait_until(read)
    busy.close()


def test_a_wait_ends_only_where_a_join_made_no_progress() -> None:
    moment = [0.0]
    wait = PartitionWait(lambda: moment[0])

    def over_after(seconds: float) -> bool:
        moment[0] += seconds
        return wait.is_over(assigned=False)

    assert not over_after(JOIN_SECONDS - 1)
    wait.on_partitions_assigned([])  # the join ended without a partition: others have all of them, or it came too early
    assert not over_after(SETTLE_SECONDS - 1)
    wait.on_partitions_revoked([])  # progress: the group begins anew
    assert not over_after(JOIN_SECONDS - 1)
    wait.on_partitions_assigned([])
    assert over_after(SETTLE_SECONDS)
    wait.begin()
    assert not over_after(2 * JOIN_SECONDS - 1)
    assert over_after(1)
    assert not wait.is_over(assigned=True)
    wait.begin()
    assert over_after(JOIN_SECONDS)
