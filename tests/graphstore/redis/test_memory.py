"""A shopper's memory: all that is remembered, without what is no text."""

from redis import Redis

from graphstore.redis import hot, shown
from graphstore.redis.lifetime import Lifetime
from tests.graphstore.redis.memory import NOBODY, read_memory

NOW = 1_700_000_000_000


def test_all_that_is_remembered_of_a_shopper(redis: Redis) -> None:
    hot.record(redis, [("u", "a", NOW), ("u", "b", NOW - 1)], keep=5, bought=[("u", "b", NOW - 1)])
    shown.record(redis, [("u", "c", NOW - 9_000), ("u", "c", NOW)], Lifetime(NOW))
    redis.zadd(hot.bought_key("u"), {b"\xff": 5})
    memory = read_memory(redis, "u", now=NOW)
    assert memory.recent == [("a", NOW), ("b", NOW - 1)]
    assert memory.bought == {"b": NOW - 1}
    assert memory.shown == {"c": 2}
    assert read_memory(redis, "nobody", now=NOW) == NOBODY
