"""A Redis without room: the worker goes on, says so, and Redis holds all again once it has room."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from redis import Redis
from redis.exceptions import OutOfMemoryError, ResponseError
from sqlalchemy import Engine

from graphstore import queries
from graphstore.outages import is_full
from graphstore.redis import hot
from graphstore.redis.rebuild import is_complete, rebuild_if_incomplete
from graphstore.session import read
from sagestream.playground.embedded import own_redis as started
from stream.events import CatalogItem, Identity, utc
from stream.worker.full_redis import FullRedis
from stream.worker.rebuild_watch import RebuildWatch
from stream.worker.sink import Sink
from tests.stream.worker.test_remembering import EventType, event, listed, looked, memory
from tests.waiting import wait_until

NOW = 1_767_614_400_000


@pytest.fixture
def small_redis(tmp_path: Path) -> Iterator[Redis]:
    with started(tmp_path / "redis") as redis:
        yield redis


def refused() -> float:
    return REGISTRY.get_sample_value("sagestream_redis_full_total") or 0.0


def store_everything(sink: Sink) -> None:
    sink.store_interactions([event(EventType.PURCHASE, NOW), event(EventType.VIEW, NOW, user="s")], now=NOW)
    sink.store_identities([Identity(anonymous_id="s", user_id="v", event_time=utc(NOW))], now=NOW)
    sink.store_items([CatalogItem(item_id="i", title="Tea", event_time=utc(NOW))], now=NOW)
    sink.store_impressions([listed("r", NOW + 5_000, "i")], now=NOW)
    sink.store_seen([looked("r", NOW + 6_000, 0)], now=NOW)


@pytest.mark.service
def test_the_worker_goes_on_and_redis_heals(
    small_redis: Redis, sqlite_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Sink(sqlite_engine, small_redis)
    store_everything(sink)
    rebuild_if_incomplete(sqlite_engine, small_redis, now=lambda: NOW)
    small_redis.config_set("maxmemory", "1mb")
    small_redis.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(OutOfMemoryError):
        small_redis.set("ballast", b"x" * 2_000_000)
        small_redis.set("more", b"x")
    before = refused()
    with caplog.at_level(logging.ERROR):
        sink.store_interactions([event(EventType.VIEW, NOW + 9, item="late")], now=NOW)
        store_everything(Sink(sqlite_engine, small_redis))
    assert refused() == before + 6
    assert "Redis is full: events are stored in SQL alone" in caplog.text
    assert not is_complete(small_redis)
    with read(sqlite_engine) as connection:
        assert queries.counts(connection)["interactions"] == 3
    watch = RebuildWatch(sqlite_engine, small_redis, now=lambda: NOW, interval_seconds=0.01, full_seconds=0.02)
    try:
        wait_until(lambda: "Redis is still full" in caplog.text)
        small_redis.config_set("maxmemory", "0")
        wait_until(lambda: is_complete(small_redis))
    finally:
        watch.close()
    assert {item for item, _ in memory(small_redis).recent} == {"i", "late"}
    assert memory(small_redis).shown == {"i": 1}
    assert hot.seen(small_redis, "v") == {"i"}
    assert not small_redis.exists(hot.seen_key("s"))


def test_other_errors_are_raised_and_the_log_is_bounded(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    clock = [0.0]
    full = FullRedis(lambda: clock[0])
    with pytest.raises(ResponseError, match="wrong"), full.passed(redis):
        raise ResponseError("wrong")
    with caplog.at_level(logging.ERROR):
        for clock[0] in (0.0, 59.0, 60.0):
            with full.passed(redis):
                raise ResponseError("OOM command not allowed when used memory > 'maxmemory'. script: on @user_script")
    assert len(caplog.records) == 2


def test_a_full_redis_is_told_from_other_errors() -> None:
    assert is_full(OutOfMemoryError("command not allowed"))
    assert is_full(ResponseError("Error running script: OOM command not allowed"))
    assert not is_full(ResponseError("BLOOM filter"))
    assert not is_full(OSError("OOM"))
