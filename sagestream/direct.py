"""The graph opened for writing without Kafka: the worker's sink on the configured database and, if wanted, Redis.

Arrives: the configuration. Leaves: a sink. Next: `stream.replay` stores through it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from graphstore.config import GraphstoreConfig
from graphstore.redis.connection import open_redis
from graphstore.session import migrate, now_ms, open_engine
from stream.worker.sink import Sink


@contextmanager
def open_sink(graph: GraphstoreConfig, *, redis_too: bool = True) -> Iterator[Sink]:
    """A sink on the newest schema; at the end, the trending lists follow what came. Raises as SQL and Redis do.

    Without `redis_too` Redis is neither needed nor written: `sagestream cache rebuild` fills it later.
    """
    migrate(graph.sqlalchemy_url)
    engine, redis = open_engine(graph.sqlalchemy_url), open_redis(graph.redis_url) if redis_too else None
    try:
        sink = Sink(engine, redis)
        yield sink
        sink.refresh_trending(now=now_ms())
    finally:
        if redis is not None:
            redis.close()
        engine.dispose()
