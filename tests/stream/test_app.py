"""The worker against real brokers: what goes in on topics comes out as rows, hot keys, dead letters, announcements."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaConsumer
from redis import Redis
from sqlalchemy import Engine, func, make_url, select

from graphstore import hot, queries
from graphstore.session import open_engine, read
from graphstore.tables import impressions, interactions
from sagestream.embedded import Broker
from stream import events
from stream.config import StreamConfig
from stream.producer import EventProducer
from tests.conftest import stream_config_of

TIME = datetime(2026, 1, 5, 12, tzinfo=UTC)


def purchase(number: int, user: str = "u1", item: str = "i1") -> events.Interaction:
    return events.Interaction(
        event_id=f"e{number}",
        event_type=events.EventType.PURCHASE,
        user_id=user,
        item_id=item,
        event_time=TIME,
    )


@contextmanager
def worker(
    broker: Broker, database_url: str, redis_url: str, name: str, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        **broker.environment,
        "SAGESTREAM_STATE_DIR": str(log.parent / "state"),
        "SAGESTREAM_DATABASE_URL": database_url,
        "SAGESTREAM_REDIS_URL": redis_url,
        "SAGESTREAM_WORKER_ID": name,
        "SAGESTREAM_WORKER_GROUP": f"group-{name}",
        "SAGESTREAM_WORKER_PORT": "0",
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sagestream", "worker"], env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool], log: Path, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)


def stored(database_url: str) -> int:
    engine: Engine = open_engine(database_url)
    try:
        with read(engine) as connection:
            return int(connection.scalar(select(func.count()).select_from(interactions)) or 0)
    finally:
        engine.dispose()


def messages(config: StreamConfig, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=config.kafka_bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=15_000,
        fetch_max_wait_ms=40,
    )
    found = []
    for message in consumer:
        found.append(message.value)
        if len(found) == count:
            break
    consumer.close()
    return found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_worker_stores_refuses_and_announces(
    broker: Broker, database_url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    config = stream_config_of(broker)
    log = tmp_path / "worker.log"
    with EventProducer(config) as producer:
        for number in range(300):
            event = purchase(number, user=f"u{number % 7}", item=f"i{number % 11}")
            producer.send(events.INTERACTIONS, event, key=event.user_id)
        producer.send(events.INTERACTIONS, purchase(0), key="u1")
        producer.send_raw(events.INTERACTIONS, b'{"event_id": 5}', key=b"bad")
        item = events.CatalogItem(item_id="i3", title="Tea", categories=["Drinks"], price=2.5, event_time=TIME)
        producer.send(events.CATALOG, item, key="i3")
        shown = events.ImpressionItem(item_id="i3", position=0, score=1.0, propensity=1.0, source="batch")
        impression = events.Impression(
            request_id="r1",
            user_id="u1",
            slot="home",
            event_time=TIME,
            model_version="m1",
            variant="champion",
            items=[shown],
        )
        producer.send(events.IMPRESSIONS, impression, key="u1")

    def shown_rows() -> int:
        engine = open_engine(database_url)
        with read(engine) as connection:
            count = int(connection.scalar(select(func.count()).select_from(impressions)) or 0)
        engine.dispose()
        return count

    with worker(broker, database_url, redis_url, "first", log) as process:
        wait_for(lambda: stored(database_url) == 300 and shown_rows() == 1, log)
        wait_for(lambda: hot.get_items(redis, ["i3"])[0] is not None, log)
        (letter,) = messages(config, events.DEAD_LETTERS, 1)
        told = {json.loads(raw)["user_id"] for raw in messages(config, events.USERS_TOUCHED, 7)}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0, log.read_text()[-3000:]

    dead = events.decode(letter, events.DeadLetter, now=TIME)
    assert (dead.raw, dead.topic) == (b'{"event_id": 5}', "interactions")
    assert "event_id" in dead.error
    assert told == {f"u{number}" for number in range(7)}
    assert hot.seen(redis, "u1") == {f"i{number % 11}" for number in range(300) if number % 7 == 1} | {"i1"}
    (found,) = hot.get_items(redis, ["i3"])
    assert found is not None
    assert (found.title, found.price) == ("Tea", 2.5)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_killed_worker_loses_and_doubles_nothing(
    broker: Broker, database_url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    config = stream_config_of(broker)
    log = tmp_path / "worker.log"
    prefix = make_url(database_url).get_backend_name()
    killed = threading.Event()
    sent: list[int] = []

    def produce() -> None:
        """Some five hundred events a second, as long as workers are killed."""
        with EventProducer(config) as producer:
            while not killed.wait(0.002):
                number = len(sent)
                event = purchase(number, user=f"{prefix}{number % 50}", item=f"i{number % 31}")
                event = msgspec.structs.replace(event, event_id=f"{prefix}-{number}")
                producer.send(events.INTERACTIONS, event, key=event.user_id)
                sent.append(number)

    shop = threading.Thread(target=produce)
    shop.start()
    try:
        for attempt in range(3):
            before = stored(database_url)
            with worker(broker, database_url, redis_url, f"kill-{prefix}", log) as process:
                wait_for(lambda before=before: stored(database_url) > before, log)  # type: ignore[misc]
                time.sleep(0.05 * attempt)
                process.kill()
    finally:
        killed.set()
        shop.join()
    total = len(sent)
    engine = open_engine(database_url)

    def ours() -> int:
        with read(engine) as connection:
            mine = interactions.c.event_id.startswith(prefix + "-")
            return int(connection.scalar(select(func.count()).select_from(interactions).where(mine)) or 0)

    def seen_by_all() -> bool:
        expected = {f"{prefix}{user}": {f"i{n % 31}" for n in range(total) if n % 50 == user} for user in range(50)}
        return all(hot.seen(redis, user) == items for user, items in expected.items())

    with worker(broker, database_url, redis_url, f"kill-{prefix}", log):
        # Redis is written after SQL: a kill in between is healed by the next delivery.
        wait_for(lambda: ours() == total and seen_by_all(), log)
    with read(engine) as connection:
        keys = queries.user_keys(connection, [f"{prefix}{n}" for n in range(50)])
        histories = queries.user_histories(connection, list(keys.values()), limit=10_000)
    engine.dispose()
    assert sum(len(rows) for rows in histories.values()) == total
