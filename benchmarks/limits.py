"""Limits: consumers that do less than the worker, each in its own process, for comparison.

Arrives: a backlog on `interactions`. Leaves: the span of its consumption (`meters.Meter`). Next: `benchmarks.drain`.

`faust_empty` is a standard Faust agent that takes batches and does nothing with them. `aiokafka_empty` is the plain
consumer below Faust. `aiokafka_sqlite` is this consumer with the worker's own sink: decode, store, commit. It sends no
announcements and no dead letters, so the comparison shows the worker's cost beyond the sink.

Start it as `python -m benchmarks.limits KIND …`. Settings come from the environment, as for the worker.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from benchmarks.meters import Meter
from graphstore.config import GraphstoreConfig
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms, open_engine
from stream import events
from stream.config import StreamConfig
from stream.kafka.topics import FETCH_MAX_WAIT_MS
from stream.worker.app import BATCH_SECONDS
from stream.worker.sink import Sink

KINDS = ("faust_empty", "aiokafka_empty", "aiokafka_sqlite")

BATCH = 1_000
TAKE_SECONDS = 0.05
MAX_RECORDS = 4_000
"""Maximum records of one call, as in the worker."""

Handle = Callable[[Sequence[ConsumerRecord]], None]


def run_faust(config: StreamConfig, meter: Meter) -> None:
    """Run plain Faust with its cheapest settings."""
    app = faust.App(
        config.worker_group,
        broker=[f"kafka://{server}" for server in config.kafka_bootstrap_servers.split(",")],
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_partitions=config.kafka_partitions,
        broker_check_crcs=False,
        broker_commit_interval=1.0,
        broker_max_poll_records=2_000,
        stream_buffer_maxsize=16_384,
        stream_wait_empty=False,
        web_enabled=False,
    )

    @app.agent(app.topic(events.INTERACTIONS, partitions=config.kafka_partitions))
    async def nothing(stream: Any) -> None:
        async for taken in stream.take(BATCH, within=TAKE_SECONDS):
            meter.add(len(taken))

    with suppress(ImportError):  # saves a fifth for an app that waits for every record
        import uvloop

        uvloop.install()
    faust.Worker(app, loglevel="WARN", redirect_stdouts=False, quiet=True).execute_from_commandline()


async def run_aiokafka(config: StreamConfig, meter: Meter, handle: Handle | None) -> None:
    """Run the plain consumer. With `handle` it commits after each batch, otherwise every second."""
    consumer = AIOKafkaConsumer(
        events.INTERACTIONS,
        bootstrap_servers=config.kafka_bootstrap_servers,
        group_id=config.worker_group,
        auto_offset_reset="earliest",
        enable_auto_commit=handle is None,
        auto_commit_interval_ms=1_000,
        check_crcs=False,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=1_000,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
    )
    await consumer.start()
    try:
        done = False
        while not done:
            fetched: dict[TopicPartition, list[ConsumerRecord]] = await consumer.getmany(
                timeout_ms=int(BATCH_SECONDS * 1000), max_records=MAX_RECORDS
            )
            records = [record for of_partition in fetched.values() for record in of_partition]
            if handle is not None and records:
                handle(records)
                await consumer.commit()
            done = meter.add(len(records))
    finally:
        await consumer.stop()


def storing_handler(graph: GraphstoreConfig) -> Handle:
    """Return a handler that decodes and stores."""
    redis = open_redis(graph.redis_url)
    sink = Sink(open_engine(graph.sqlalchemy_url), redis)

    def handle(records: Sequence[ConsumerRecord]) -> None:
        now = now_ms()
        now_utc = events.utc(now)
        sink.store_interactions(
            [events.decode(record.value or b"", events.Interaction, now=now_utc) for record in records], now=now
        )

    return handle


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--total", type=int, required=True, help="events on the topic")
    parser.add_argument("--skip", type=int, required=True, help="events before the measurement begins")
    parser.add_argument("--output", type=Path, required=True, help="where the span goes, as JSON")
    given = parser.parse_args(arguments)
    config, meter = StreamConfig(), Meter(given.total, given.skip, given.output)
    if given.kind == "faust_empty":
        run_faust(config, meter)  # runs until the parent stops it
    else:
        handle = storing_handler(GraphstoreConfig()) if given.kind == "aiokafka_sqlite" else None
        asyncio.run(run_aiokafka(config, meter, handle))
    os._exit(0)  # nothing to clean up, and a normal exit waits for Faust's threads


if __name__ == "__main__":
    main(sys.argv[1:])
