"""A flushed Redis is whole again without anybody's doing."""

from redis import Redis
from sqlalchemy import Engine

from graphstore.redis import hot
from graphstore.redis.rebuild import is_complete
from stream.worker.rebuild_watch import RebuildWatch
from stream.worker.sink import Sink
from tests.stream.worker.test_sink import NOW, bought
from tests.waiting import wait_until


def test_a_flushed_redis_is_rebuilt_beside_the_worker(sqlite_engine: Engine, redis: Redis) -> None:
    sink = Sink(sqlite_engine, redis, recent_items=5, trending_items=5)
    sink.store_interactions([bought(1), bought(2, "v", "j")], now=NOW)
    redis.flushall()
    watch = RebuildWatch(sqlite_engine, redis, now=lambda: NOW, recent_items=5, trending_items=5, interval_seconds=0.01)
    try:
        for _ in range(2):  # and again, for the same watch
            wait_until(lambda: is_complete(redis))
            assert hot.seen(redis, "u") == {"i"}
            assert hot.recent(redis, "v", 5) == [("j", NOW)]
            redis.flushall()
    finally:
        watch.close()
