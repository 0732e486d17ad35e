"""Direct sink: open the worker's sink without Kafka, on the configured database and optionally Redis.

Arrives: the configuration. Leaves: a sink. Next: `stream.replay` stores events through it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from graphstore.config import GraphstoreConfig
from graphstore.redis.connection import open_redis
from graphstore.session import migrate, now_ms, open_engine
from stream.worker.sink import Sink


@contextmanager
def open_sink(graph: GraphstoreConfig, *, redis_too: bool = True) -> Iterator[Sink]:
    """Migrate the database and open a sink. At the end the trending lists are rebuilt.

    Errors of SQL and Redis are not caught. With `redis_too` False, Redis is not necessary and not written:
    `sagestream cache rebuild` fills it later.
    """
    migrate(graph.sqlalchemy_url)
    engine, redis = open_engine(graph.sqlalchemy_url), open_redis(graph.redis_url) if redis_too else None
    try:
        sink = Sink(engine, redis, visitor_days=graph.visitor_days)
        yield sink
        sink.refresh_trending(now=now_ms())
    finally:
        if redis is not None:
            redis.close()
        engine.dispose()
