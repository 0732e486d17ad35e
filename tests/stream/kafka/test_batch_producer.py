"""Announcements on real brokers: all arrive, each key on one partition, in order, again after an error."""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from kafka import TopicPartition
from kafka.admin import NewTopic

from stream.config import StreamConfig
from stream.kafka.batch_producer import BatchProducer, Message, partition_of
from stream.kafka.clients import open_admin, open_consumer

PARTITIONS = 4


@pytest.fixture
def topic(stream_config: StreamConfig, request: pytest.FixtureRequest) -> str:
    name = re.sub(r"\W+", "-", request.node.name)
    admin = open_admin(stream_config)
    admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=1)])
    admin.close()
    return name


@asynccontextmanager
async def announcer(config: StreamConfig, **settings: Any) -> AsyncIterator[BatchProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=config.kafka_bootstrap_servers, acks="all", **settings)
    await producer.start()

    async def given() -> AIOKafkaProducer:
        return producer

    yield BatchProducer(given)
    await producer.stop()


def read_all(config: StreamConfig, topic: str, count: int) -> dict[int, list[tuple[bytes | None, bytes]]]:
    consumer = open_consumer(config, auto_offset_reset="earliest", consumer_timeout_ms=15_000, fetch_max_wait_ms=40)
    consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
    found: dict[int, list[tuple[bytes | None, bytes]]] = defaultdict(list)
    for _ in range(count):
        message = next(consumer)
        found[message.partition].append((message.key, message.value))
    consumer.close()
    return found


def test_all_arrive_in_order_each_key_on_one_partition(stream_config: StreamConfig, topic: str) -> None:
    messages = [Message(topic, b"user-%d" % (n % 97), b"%d" % n) for n in range(3000)] + [Message(topic, None, b"x")]

    async def run() -> None:
        async with announcer(stream_config, max_batch_size=4096) as made:  # so that there are several batches
            await made.deliver(messages)

    asyncio.run(run())
    found = read_all(stream_config, topic, 3001)
    expected: dict[int, list[tuple[bytes | None, bytes]]] = defaultdict(list)
    for _, key, value, _ in messages:
        expected[partition_of(key, PARTITIONS)].append((key, value))
    assert found == expected
    assert len(found) == PARTITIONS


def test_headers_arrive_with_their_message(stream_config: StreamConfig, topic: str) -> None:
    messages = [Message(topic, b"k", b"named", [("producer", b"till-3")]), Message(topic, b"k", b"unnamed")]

    async def run() -> None:
        async with announcer(stream_config) as made:
            await made.deliver(messages)

    asyncio.run(run())
    consumer = open_consumer(stream_config, topic, auto_offset_reset="earliest")
    found = [next(consumer) for _ in messages]
    consumer.close()
    headers = {one.value: list(one.headers) for one in found}
    assert headers == {b"named": [("producer", b"till-3")], b"unnamed": []}


def test_a_message_as_large_as_kafka_takes_it_goes_through(stream_config: StreamConfig, topic: str) -> None:
    large = Message(topic, b"k", b"x" * 940_000)

    async def run() -> None:
        async with announcer(stream_config, max_batch_size=128 * 1024) as made:
            await made.deliver([Message(topic, b"k", b"before"), large, Message(topic, b"k", b"after")])

    asyncio.run(run())
    found = read_all(stream_config, topic, 3)
    assert found[partition_of(b"k", PARTITIONS)] == [(b"k", b"before"), (b"k", large.value), (b"k", b"after")]


def test_nothing_to_tell_needs_no_broker() -> None:
    async def never() -> Any:
        raise AssertionError

    asyncio.run(BatchProducer(never).deliver([]))


class Flaky:
    """A producer whose broker answers late: `fails` batches time out."""

    def __init__(self, fails: int) -> None:
        self.fails = fails
        self.acknowledged: list[list[bytes]] = []
        self.sent = 0

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1}

    def create_batch(self) -> "Batch":
        return Batch()

    async def send_batch(self, batch: "Batch", topic: str, *, partition: int) -> Awaitable[None]:
        async def delivery() -> None:
            self.sent += 1
            await asyncio.sleep(0)
            if self.fails:
                self.fails -= 1
                raise KafkaTimeoutError("the broker is away")
            self.acknowledged.append(batch.values)

        return asyncio.ensure_future(delivery())


class Batch:
    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, timestamp: None, key: bytes | None, value: bytes, headers: Any) -> object | None:
        if len(self.values) == 2:
            return None
        self.values.append(value)
        return self

    def close(self) -> None:
        pass


def through(producer: Flaky) -> Callable[[list[Message]], Any]:
    async def given() -> Flaky:
        return producer

    return lambda messages: asyncio.run(BatchProducer(given).deliver(messages))


def test_what_the_broker_did_not_acknowledge_is_an_error() -> None:
    producer = Flaky(fails=1)
    messages = [Message("t", b"k", b"%d" % n) for n in range(5)]
    with pytest.raises(KafkaTimeoutError, match="the broker is away"):
        through(producer)(messages)
    assert producer.sent == 1  # the second batch of a partition is not sent past the first
    through(producer)(messages)
    assert producer.acknowledged == [[b"0", b"1"], [b"2", b"3"], [b"4"]]


def test_one_partition_that_fails_does_not_leave_the_other_one_under_way() -> None:
    producer = Flaky(fails=1)
    keys = [next(k for k in (b"%d" % n for n in range(99)) if partition_of(k, 2) == p) for p in (0, 1)]
    with pytest.raises(KafkaTimeoutError):
        through(producer)([Message("t", key, key + b"%d" % n) for n in range(4) for key in keys])
    assert [batch[0][:-1] for batch in producer.acknowledged] == [keys[1]] * 2
