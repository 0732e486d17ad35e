"""The comparison finds what differs from SQL and stays different, and nothing else."""

import logging

import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore.redis import hot
from graphstore.redis.comparison import PAGE_PERSONS, SETTLE_SECONDS, Compared, Comparison
from tests.graphstore.changes import KEEP, LIFETIME, T0, Shop


@pytest.fixture
def shop(sqlite_engine: Engine, redis: Redis) -> Shop:
    return Shop(sqlite_engine, redis)


@pytest.fixture
def comparison(shop: Shop) -> Comparison:
    return Comparison(shop.engine, shop.redis, KEEP, lambda: LIFETIME)


def test_a_true_redis_is_left_alone(shop: Shop, comparison: Comparison) -> None:
    for second in (0.0, SETTLE_SECONDS, 2 * SETTLE_SECONDS):
        assert comparison.step(now=second) == Compared(users=4)
    assert shop.keys() == shop.expected()


def test_what_stays_different_is_repaired_counted_and_named(
    shop: Shop, comparison: Comparison, caplog: pytest.LogCaptureFixture
) -> None:
    shop.redis.zrem(hot.recent_key("cyd"), "i8")  # an item that SQL has, and an older one in its place
    shop.redis.zadd(hot.recent_key("cyd"), {"i2": T0 + 6})
    shop.redis.delete(hot.seen_key("bob"))
    hot.record(shop.redis, [("a1", "i2", T0 + 1), ("nobody", "i1", T0), ("ann", "i9", T0 + 9)], keep=KEEP)
    assert comparison.step(now=0) == Compared(users=4)
    assert comparison.step(now=SETTLE_SECONDS / 2) == Compared(users=4)
    assert shop.keys() != shop.expected()
    with caplog.at_level(logging.ERROR):
        assert comparison.step(now=SETTLE_SECONDS) == Compared(users=4, repaired=5)
    assert shop.keys() == shop.expected()
    assert f"the hot keys of 'cyd' differ from SQL and are repaired: missing ('i8', {T0 + 12})" in caplog.text
    assert comparison.step(now=2 * SETTLE_SECONDS) == Compared(users=4)


def test_a_batch_between_sql_and_redis_is_no_difference(shop: Shop, comparison: Comparison) -> None:
    shop.redis.delete(hot.recent_key("bob"))
    comparison.step(now=0)
    shop.touch("bob", "i3", T0 + 70)  # as if a worker had come to Redis now
    assert comparison.step(now=SETTLE_SECONDS) == Compared(users=4)


def test_all_persons_have_their_turn_and_one_process_compares_at_a_time(shop: Shop, comparison: Comparison) -> None:
    for number in range(PAGE_PERSONS):
        shop.touch(f"visitor{number}", "i1", T0)
    other = Comparison(shop.engine, shop.redis, KEEP, lambda: LIFETIME)
    assert [comparison.step(now=0).users, other.step(now=0).users, other.step(now=0).users] == [100, 4, 100]
    shop.redis.set("hot:comparing", "1")
    assert comparison.step(now=0) == Compared()
