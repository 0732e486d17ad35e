"""Two near-line processes share the shoppers; when one is killed, the other makes its lists, too, and none is lost.

On Apache Kafka alone: on a busy machine the groups of the embedded broker do not settle with two members.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore.config import GraphstoreConfig
from sagestream.playground.embedded import Broker
from serving import cache
from serving.cache import ListReader
from serving.config import ServingConfig
from serving.nearline import run_nearline
from serving.source import ShopSource
from stream.config import StreamConfig
from stream.events import USERS_TOUCHED, UserTouched, utc
from stream.kafka.producer import EventProducer
from tests.brokers import renew_topics, stream_config_of
from tests.forked import forked
from tests.serving.toy import NAMES, register, touch, toy_load
from tests.waiting import wait_until

pytestmark = [pytest.mark.service, pytest.mark.kill, pytest.mark.kafka]

T0 = 1_700_000_000_000
SHOPPERS = [f"shopper{number}" for number in range(40)]


def near_line(keys: dict[str, int], database_url: str, redis_url: str, stream: StreamConfig, log: Path) -> None:
    """One near-line process, until it is killed. It writes a mark to its log for each block of lists."""
    load = toy_load(keys)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    write_lists = cache.write_lists

    def marked(redis: Redis, lists: Any, **named: Any) -> None:
        write_lists(redis, lists, **named)
        if any(key.startswith("near:") for key in lists):
            os.write(output, b"near-line lists\n")

    cache.write_lists = marked
    graphstore = GraphstoreConfig(redis_url=redis_url, database_url=database_url)
    run_nearline(ServingConfig(), graphstore, stream, Event(), load=load)


@contextmanager
def running(*arguments: Any) -> Iterator[Any]:
    process = forked.Process(target=near_line, args=arguments)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(20)


def test_one_of_two_is_killed_and_every_shopper_has_a_list(
    apache_kafka: Broker, redis: Redis, redis_url: str, sqlite_engine: Engine, tmp_path: Path
) -> None:
    renew_topics(apache_kafka)
    stream = stream_config_of(apache_kafka)
    for name in NAMES:
        touch(sqlite_engine, "first", name, 1)
    for shopper in SHOPPERS:
        touch(sqlite_engine, shopper, "dates", T0)
    keys = {item.item_id: item.item_key for item in ShopSource(sqlite_engine, 10).items()}
    register(sqlite_engine, "m1")
    redis.set(cache.CHAMPION, "m1")
    shared = (keys, str(sqlite_engine.url), redis_url, stream)
    logs = [tmp_path / "one.log", tmp_path / "two.log"]

    def have_lists() -> bool:
        return all(ListReader(redis, 0).of_user("m1", shopper) for shopper in SHOPPERS)

    def tell(producer: EventProducer) -> None:
        for shopper in SHOPPERS:
            producer.send(USERS_TOUCHED, UserTouched(event_time=utc(T0), user_id=shopper), key=shopper)
        producer.flush()

    with running(*shared, logs[0]) as first, running(*shared, logs[1]), EventProducer(stream) as producer:

        def both_work() -> bool:
            redis.delete(*(cache.near_key("m1", shopper) for shopper in SHOPPERS))
            tell(producer)
            wait_until(have_lists, seconds=60)
            return all(log.exists() and log.stat().st_size for log in logs)

        wait_until(both_work, seconds=120)
        redis.delete(*(cache.near_key("m1", shopper) for shopper in SHOPPERS))
        tell(producer)
        os.kill(first.pid, signal.SIGKILL)
        wait_until(have_lists, seconds=60)
        before = logs[0].read_bytes()
        redis.delete(*(cache.near_key("m1", shopper) for shopper in SHOPPERS))
        tell(producer)
        wait_until(have_lists, seconds=60)
        assert logs[0].read_bytes() == before
