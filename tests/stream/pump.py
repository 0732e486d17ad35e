"""A worker that takes messages when it is asked to, for tests that must know what time it is."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from redis import Redis
from sqlalchemy import Engine

from stream import events
from stream.config import StreamConfig
from stream.events import milliseconds
from stream.kafka.batch_producer import Message
from stream.kafka.clients import open_consumer
from stream.kafka.producer import EventProducer
from stream.worker.sink import Sink
from stream.worker.topic_status import TopicStatus
from stream.worker.worker import TOPICS, Worker


class Pump:
    """The worker's own handlers on real topics, without Faust and on a clock of our own.

    A group's next pump goes on where its last one stopped.
    """

    def __init__(self, config: StreamConfig, engine: Engine, redis: Redis, *, now: datetime, group: str) -> None:
        self.now = now
        sink = Sink(engine, redis, recent_items=5, trending_items=5)
        self._producer = EventProducer(config)
        self._consumer = open_consumer(
            config,
            *TOPICS,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=40,
            session_timeout_ms=6000,
            heartbeat_interval_ms=1000,
        )
        standing = TopicStatus(TOPICS, self._clock)
        self._worker = Worker(sink, self._deliver, self._clock, standing=standing, dead_share=1.0)
        self._handlers = {
            events.INTERACTIONS: self._worker.on_interactions,
            events.IMPRESSIONS: self._worker.on_impressions,
            events.CATALOG: self._worker.on_catalog,
            events.CATALOG_CHANGES: self._worker.on_changes,
            events.USERS: self._worker.on_users,
            events.IDENTITIES: self._worker.on_identities,
            events.SEEN: self._worker.on_seen,
        }

    def _clock(self) -> int:
        return milliseconds(self.now)

    async def _deliver(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._producer.send_raw(message.topic, message.value, key=message.key)
        self._producer.flush()

    def produce(self, *messages: tuple[str, bytes | None, bytes | None]) -> None:
        for topic, key, value in messages:
            self._producer.send_raw(topic, value, key=key)
        self._producer.flush()

    def take(self, expected: int, seconds: float = 60.0) -> int:
        """Work on the next `expected` messages; how many there were."""
        taken, deadline = 0, datetime.now(UTC) + timedelta(seconds=seconds)
        while taken < expected and datetime.now(UTC) < deadline:
            for tp, records in self._consumer.poll(timeout_ms=200).items():
                asyncio.run(self._handlers[tp.topic](records))
                taken += len(records)
            self._consumer.commit()
        return taken

    def close(self) -> None:
        self._consumer.close()
        self._producer.close()
