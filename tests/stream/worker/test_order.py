"""The law of the graph: any order, any batching and any repetition of the same events give the same tables and keys."""

import random
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore.session import open_engine
from stream.worker.sink import Sink
from tests.databases import migrated_sqlite
from tests.stream.worlds import hot_content, live, random_events, tables


def content(engine: Engine, redis: Redis, seed: int, *, shuffled: bool) -> tuple[object, object]:
    history = random_events(random.Random(seed), 300)
    order = random.Random(seed + 1)
    if shuffled:
        history += order.sample(history, k=100)
        order.shuffle(history)
    redis.flushall()
    live(Sink(engine, redis, recent_items=5, trending_items=5), history, order)
    return tables(engine), hot_content(redis)


@pytest.mark.parametrize("seed", range(8))
def test_no_order_batching_or_repetition_changes_tables_or_keys(
    engine: Engine, redis: Redis, tmp_path: Path, seed: int
) -> None:
    other = open_engine(migrated_sqlite(tmp_path / "other.db"))
    in_order = content(other, redis, seed, shuffled=False)
    in_any_order = content(engine, redis, seed, shuffled=True)
    other.dispose()
    assert in_any_order == in_order
