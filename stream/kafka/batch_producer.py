"""Announcements: what follows from a batch, sent as Kafka batches and acknowledged by the broker.

Arrives: messages for `users.touched` and the dead letter queue. Leaves: the same on their topics, in order per key.
Next: `serving.nearline`; `stream.dlq.queue`.

Sent one by one a message costs some 20 µs (a future, a timestamp and a lock each); filled into a batch per partition
it costs 2. The partition is our own choice, since nobody else writes these topics: the hash of Kafka's default
partitioner is pure Python, and half of what a message cost.
"""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple


class Message(NamedTuple):
    """What is sent."""

    topic: str
    key: bytes | None
    value: bytes


class BatchProducer:
    """Sends through an aiokafka producer; `producer()` gives the running one."""

    def __init__(self, producer: Callable[[], Awaitable[Any]]) -> None:
        self._producer = producer

    async def deliver(self, messages: Sequence[Message]) -> None:
        """Send all, and wait until the broker has all. What is sent again after an error may arrive twice.

        Raises `aiokafka.errors.KafkaError`.
        """
        if not messages:
            return
        producer = await self._producer()
        partitions = {topic: len(await producer.partitions_for(topic)) for topic in {m.topic for m in messages}}
        parts: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for message in messages:
            parts[message.topic, partition_of(message.key, partitions[message.topic])].append(message)
        sent = [_send(producer, *part, of_it) for part, of_it in parts.items()]
        for failure in await asyncio.gather(*sent, return_exceptions=True):
            if failure is not None:
                raise failure


def partition_of(key: bytes | None, partitions: int) -> int:
    """Always the same for one key, which keeps its order; without a key, the first."""
    return 0 if key is None else zlib.crc32(key) % partitions


async def _send(producer: Any, topic: str, partition: int, messages: Sequence[Message]) -> None:
    """One batch after another, each acknowledged before the next is sent: a failure never changes the order."""
    batch = producer.create_batch()
    for message in messages:
        if batch.append(timestamp=None, key=message.key, value=message.value) is None:  # full
            await _delivered(producer, batch, topic, partition)
            batch = producer.create_batch()
            batch.append(timestamp=None, key=message.key, value=message.value)
    await _delivered(producer, batch, topic, partition)


async def _delivered(producer: Any, batch: Any, topic: str, partition: int) -> None:
    batch.close()
    await (await producer.send_batch(batch, topic, partition=partition))
