"""The worker: a Faust app that turns topics into the graph.

Arrives: record batches of `interactions`, `impressions` and `catalog`. Leaves: rows and hot keys through `stream.sink`,
bad messages on `interactions.dlq`, shoppers on `users.touched`. Next: `serving.nearline` re-ranks those shoppers.

A batch is acknowledged, and its offsets committed, only after everything that follows from it is durable: SQL, Redis,
dead letters, announcements. A database or Redis that is away is waited for, the batch in hand; an error that waiting
cannot mend stops the worker aloud, and the batch is delivered again.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import faust
from aiokafka.structs import ConsumerRecord
from prometheus_client import Counter, Gauge
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import InterfaceError, OperationalError

from stream import events
from stream.config import StreamConfig
from stream.record_batches import BatchApp, record_batches
from stream.sink import Sink

logger = logging.getLogger(__name__)

EVENTS = Counter("sagestream_events_total", "Messages handled by the worker", ["topic", "outcome"])
LAST_BATCH = Gauge("sagestream_worker_last_batch_timestamp_seconds", "When the worker last made a batch durable")

TRANSIENT = (
    OperationalError,
    InterfaceError,
    RedisConnectionError,
    RedisTimeoutError,
    OutOfMemoryError,
    ReadOnlyError,
)
"""Errors of a service that is away, locked or full: worth waiting for."""

MAX_BATCHES = 4
RETRY_FIRST_SECONDS = 0.1
RETRY_MAX_SECONDS = 5.0
TRENDING_INTERVAL_SECONDS = 5.0

_E = TypeVar("_E", events.Interaction, events.Impression, events.CatalogItem)
_T = TypeVar("_T")
Clock = Callable[[], int]
Message = tuple[str, bytes | None, bytes]
"""(topic, key, value)."""

Send = Callable[[str, bytes | None, bytes], Awaitable[Awaitable[object]]]


class Worker:
    """What the agents do with a batch, free of Faust: `send(topic, key, value)` gives a future of the delivery."""

    def __init__(self, sink: Sink, send: Send, now: Clock) -> None:
        self._sink = sink
        self._send = send
        self._now = now

    async def on_interactions(self, records: Sequence[ConsumerRecord]) -> None:
        """Store, refuse and announce one gathered list of records."""
        now, progress = self._now(), next_offsets(records)
        good, dead = decode(records, events.Interaction, now=now)
        stored = await self._persist(lambda: self._sink.store_interactions(good, now=now, progress=progress))
        touched: list[Message] = [
            (events.USERS_TOUCHED, user.encode(), events.encode(_touched(user, time)))
            for user, time in stored.touched.items()
        ]
        await self._deliver(dead + touched)
        EVENTS.labels(events.INTERACTIONS, "stored").inc(stored.stored)
        EVENTS.labels(events.INTERACTIONS, "duplicate").inc(stored.duplicate)
        EVENTS.labels(events.INTERACTIONS, "dead").inc(len(dead))

    async def on_impressions(self, records: Sequence[ConsumerRecord]) -> None:
        """Keep served lists."""
        now, progress = self._now(), next_offsets(records)
        good, dead = decode(records, events.Impression, now=now)
        await self._persist(lambda: self._sink.store_impressions(good, now=now, progress=progress))
        await self._deliver(dead)
        EVENTS.labels(events.IMPRESSIONS, "stored").inc(len(good))
        EVENTS.labels(events.IMPRESSIONS, "dead").inc(len(dead))

    async def on_catalog(self, records: Sequence[ConsumerRecord]) -> None:
        """Upsert items; a null value is a delete at the record's time."""
        now, progress = self._now(), next_offsets(records)
        good, dead = decode([r for r in records if r.value is not None], events.CatalogItem, now=now)
        deletes, unreadable = tombstones([r for r in records if r.value is None], now=now)
        dead += unreadable
        await self._persist(lambda: self._sink.store_items(good, deletes, now=now, progress=progress))
        await self._deliver(dead)
        EVENTS.labels(events.CATALOG, "stored").inc(len(good) + len(deletes))
        EVENTS.labels(events.CATALOG, "dead").inc(len(dead))

    def refresh_trending(self) -> None:
        """Rebuild the trending lists; a service that is away is met again at the next tick."""
        try:
            self._sink.refresh_trending(now=self._now())
        except TRANSIENT as error:
            logger.warning("trending lists not refreshed: %s", _first_line(error))

    async def _persist(self, store: Callable[[], _T]) -> _T:
        """Run `store` until it succeeds; blocks this agent, so consumption stops with it."""
        wait = RETRY_FIRST_SECONDS
        while True:
            try:
                # Inline, not in an executor: measured faster, and the consumer's heartbeat has a thread of its own.
                result = store()
            except TRANSIENT as error:
                logger.warning("the batch waits %.1f s: %s", wait, _first_line(error))
                await asyncio.sleep(wait)
                wait = min(2 * wait, RETRY_MAX_SECONDS)
            else:
                LAST_BATCH.set(self._now() / 1000)
                return result

    async def _deliver(self, messages: Sequence[Message]) -> None:
        """Send all, then wait until the broker has all."""
        futures = [await self._send(topic, key, value) for topic, key, value in messages]
        await asyncio.gather(*futures)


def decode(records: Sequence[ConsumerRecord], kind: type[_E], *, now: int) -> tuple[list[_E], list[Message]]:
    """The valid events, and a dead letter (topic, key, value) for each record that is none."""
    good: list[_E] = []
    dead: list[Message] = []
    moment = events.utc(now)
    for record in records:
        try:
            good.append(events.decode(record.value or b"", kind, now=moment))
        except events.InvalidEvent as error:
            dead.append(dead_letter(record, str(error), now=now))
    return good, dead


def tombstones(records: Sequence[ConsumerRecord], *, now: int) -> tuple[dict[str, int], list[Message]]:
    """What null values delete: item_id by the time of its newest tombstone (epoch ms); dead letters without an id."""
    deletes: dict[str, int] = {}
    dead: list[Message] = []
    for record in records:
        try:
            item_id = (record.key or b"").decode()
        except UnicodeDecodeError as error:
            dead.append(dead_letter(record, f"the key of a delete is no item_id: {error}", now=now))
            continue
        if not 1 <= len(item_id) <= events.MAX_ID_LENGTH or "\x00" in item_id:
            dead.append(dead_letter(record, "the key of a delete is no item_id", now=now))
        else:
            deletes[item_id] = max(record.timestamp, deletes.get(item_id, record.timestamp))
    return deletes, dead


def dead_letter(record: ConsumerRecord, reason: str, *, now: int) -> Message:
    """The message for the dead letter queue, under the key that the bad one had."""
    logger.info("dead letter from %s/%d@%d: %s", record.topic, record.partition, record.offset, reason)
    letter = events.DeadLetter(
        raw=(record.value or b"")[: events.MAX_DEAD_LETTER_BYTES],
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        error=reason[: events.MAX_TEXT_LENGTH],
        first_seen=events.utc(now),
    )
    # A dead letter must always fit: one that the broker refuses would stop the worker again and again.
    return events.DEAD_LETTERS, record.key and record.key[: events.MAX_TEXT_LENGTH], events.encode(letter)


def next_offsets(records: Sequence[ConsumerRecord]) -> dict[str, dict[int, int]]:
    """By topic and partition, the offset behind the last of the records."""
    found: dict[str, dict[int, int]] = {}
    for record in records:
        partitions = found.setdefault(record.topic, {})
        partitions[record.partition] = max(record.offset + 1, partitions.get(record.partition, 0))
    return found


def _touched(user_id: str, time: int) -> events.UserTouched:
    return events.UserTouched(user_id=user_id, event_time=events.utc(time))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def create_app(config: StreamConfig, sink: Sink, now: Clock, directory: Path) -> BatchApp:
    """The Faust app of one worker. `config.worker_id` must be its own: two live workers never share one.

    `directory` is where Faust may keep files of its own; ours are in SQL and Redis.
    """
    directory.mkdir(parents=True, exist_ok=True)
    app = BatchApp(
        config.worker_group,
        broker=[f"kafka://{server}" for server in config.kafka_bootstrap_servers.split(",")],
        broker_credentials=credentials(config),
        store="memory://",
        datadir=str(directory),
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_partitions=config.kafka_partitions,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        broker_commit_interval=1.0,
        # At a stop, what is acknowledged is committed and the rest is delivered again: waiting until every message in
        # flight is through may never end while producers go on.
        stream_wait_empty=False,
        # A static membership: a worker restarted after kill -9 takes over its own partitions at once.
        consumer_group_instance_id=config.worker_id,
        web_enabled=False,
        fetch_wait_ms=int(config.worker_fetch_wait_seconds * 1000),
    )

    async def send(topic: str, key: bytes | None, value: bytes) -> Awaitable[object]:
        producer = await app.maybe_start_producer()
        delivery: Awaitable[object] = await producer.send(topic, key, value, None, None, None)
        return delivery

    worker = Worker(sink, send, now)
    handlers = {
        events.INTERACTIONS: worker.on_interactions,
        events.IMPRESSIONS: worker.on_impressions,
        events.CATALOG: worker.on_catalog,
    }
    for name, handle in handlers.items():
        topic = app.batch_topic(name, partitions=config.kafka_partitions)
        app.agent(topic, name=name)(_agent(app, handle, config.worker_batch_seconds))

    @app.timer(interval=TRENDING_INTERVAL_SECONDS, on_leader=False)  # type: ignore[untyped-decorator]
    async def refresh_trending() -> None:
        worker.refresh_trending()

    return app


def health(app: BatchApp) -> dict[str, str]:
    """Whether the worker has joined its group and reads, for its probe."""
    if not app.started:
        return {"stream": "starting"}
    if app.rebalancing or not app.rebalancing_count:
        return {"stream": "waiting for its partitions"}
    return {"stream": "ok"}


def _agent(app: BatchApp, handle: Callable[[list[ConsumerRecord]], Awaitable[None]], within_seconds: float) -> Any:
    async def run(stream: Any) -> None:
        async for records in record_batches(stream, max_batches=MAX_BATCHES, within_seconds=within_seconds):
            try:
                await handle(records)
            except Exception as error:
                # Faust would restart the agent and go on behind the batch: stop the whole worker instead.
                await app.crash(error)
                raise

    return run


def credentials(config: StreamConfig) -> Any:
    """Faust's form of the SASL and TLS settings, None for a plain connection."""
    if config.kafka_security_protocol == "PLAINTEXT":
        return None
    encrypted = config.kafka_security_protocol in ("SSL", "SASL_SSL")
    context = ssl.create_default_context(cafile=config.kafka_ssl_cafile) if encrypted else None
    if not config.kafka_security_protocol.startswith("SASL"):
        return faust.SSLCredentials(context=context)
    password = config.kafka_sasl_password
    return faust.SASLCredentials(
        username=config.kafka_sasl_username,
        password=password.get_secret_value() if password else None,
        mechanism=config.kafka_sasl_mechanism,
        ssl_context=context,
    )
