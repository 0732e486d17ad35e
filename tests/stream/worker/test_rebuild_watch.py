"""A flushed Redis is whole again without anybody's doing."""

from prometheus_client import REGISTRY
from redis import Redis
from sqlalchemy import Engine

from graphstore.redis import hot
from graphstore.redis.rebuild import is_complete
from stream.worker.rebuild_watch import RebuildWatch
from stream.worker.sink import Sink
from tests.stream.worker.test_sink import NOW, bought
from tests.waiting import wait_until

LIMITS = hot.HotLimits(5, 5)


def test_a_flushed_redis_is_rebuilt_beside_the_worker(sqlite_engine: Engine, redis: Redis) -> None:
    sink = Sink(sqlite_engine, redis, recent_items=5, trending_items=5)
    sink.store_interactions([bought(1), bought(2, "v", "j")], now=NOW)
    redis.flushall()
    watch = RebuildWatch(sqlite_engine, redis, now=lambda: NOW, limits=LIMITS, interval_seconds=0.01)
    try:
        for _ in range(2):  # and again, for the same watch
            wait_until(lambda: is_complete(redis))
            assert hot.seen(redis, "u") == {"i"}
            assert hot.recent(redis, "v", 5) == [("j", NOW)]
            redis.flushall()
    finally:
        watch.close()


def test_a_key_that_differs_from_sql_is_repaired_and_counted(sqlite_engine: Engine, redis: Redis) -> None:
    Sink(sqlite_engine, redis, recent_items=5, trending_items=5).store_interactions([bought(1)], now=NOW)
    before = repaired()
    watch = RebuildWatch(sqlite_engine, redis, now=lambda: NOW, limits=LIMITS, interval_seconds=0.01, settle_seconds=0)
    try:
        wait_until(lambda: is_complete(redis))
        redis.delete(hot.recent_key("u"))
        wait_until(lambda: repaired() == before + 1)
        assert hot.recent(redis, "u", 5) == [("i", NOW)]
    finally:
        watch.close()


def repaired() -> float:
    return REGISTRY.get_sample_value("sagestream_hot_keys_repaired_total") or 0.0
