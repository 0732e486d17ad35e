"""The hot keys: idempotent, bounded, rebuilt to the same content by any repetition."""

import random

from redis import Redis

from graphstore.redis import hot

TOUCHES = [("u", "a", 10), ("u", "b", 20), ("u", "a", 30), ("v", "a", 5)]


def content(redis: Redis) -> dict[bytes, object]:
    found: dict[bytes, object] = {}
    for key in sorted(redis.keys()):
        kind = redis.type(key)
        found[key] = redis.zrange(key, 0, -1, withscores=True) if kind == b"zset" else redis.smembers(key)
    return found


def test_recent_is_newest_first_and_seen_holds_all(redis: Redis) -> None:
    hot.record(redis, TOUCHES, keep=10)
    assert hot.recent(redis, "u", 10) == [("a", 30), ("b", 20)]
    assert hot.recent(redis, "u", 1) == [("a", 30)]
    assert hot.seen(redis, "u") == {"a", "b"}
    assert hot.recent(redis, "nobody", 10) == []


def test_recent_is_bounded_and_seen_is_not(redis: Redis) -> None:
    hot.record(redis, [("u", f"i{n}", n) for n in range(20)], keep=5)
    assert [item for item, _ in hot.recent(redis, "u", 100)] == ["i19", "i18", "i17", "i16", "i15"]
    assert len(hot.seen(redis, "u")) == 20


def test_any_order_and_repetition_give_the_same_keys(redis: Redis) -> None:
    hot.record(redis, TOUCHES, keep=10)
    expected = content(redis)
    rng = random.Random(1)
    for _ in range(5):
        redis.flushall()
        shuffled = rng.choices(TOUCHES, k=3) + rng.sample(TOUCHES, k=4)
        for touch in shuffled:
            hot.record(redis, [touch], keep=10)
        assert content(redis) == expected


def test_trending_is_replaced_whole(redis: Redis) -> None:
    hot.set_trending(redis, "24h", {"a": 3.0, "b": 5.0})
    assert hot.trending(redis, "24h", 10) == [("b", 5.0), ("a", 3.0)]
    hot.set_trending(redis, "24h", {"c": 1.0})
    assert hot.trending(redis, "24h", 10) == [("c", 1.0)]
    hot.set_trending(redis, "24h", {})
    assert hot.trending(redis, "24h", 10) == []
