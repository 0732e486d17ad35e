"""The long-running processes, each composed from the configuration of its packages."""

import faust
from redis import Redis

from graphstore.config import GraphstoreConfig
from graphstore.session import now_ms, open_engine
from stream.app import create_app
from stream.config import StreamConfig
from stream.sink import Sink


def run_worker() -> None:
    """The stream worker, until SIGTERM: Faust stops fetching, finishes the batch in hand and commits."""
    stream, graph = StreamConfig(), GraphstoreConfig()
    engine = open_engine(graph.sqlalchemy_url)
    redis = Redis.from_url(graph.redis_url)
    sink = Sink(engine, redis, recent_items=graph.recent_items, trending_items=graph.trending_items)
    app = create_app(stream, sink, now_ms, graph.state_dir / "worker" / stream.worker_id)
    faust.Worker(app, loglevel="WARN", redirect_stdouts=False).execute_from_commandline()
