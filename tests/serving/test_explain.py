from redis import Redis

from graphstore.redis import hot
from serving import explain
from serving.cache import ListReader
from tests.serving.toy import ITEMS, MODEL, fill_redis


def test_each_reason_is_the_most_personal_that_holds(redis: Redis) -> None:
    fill_redis(redis)
    hot.record(redis, [("ann", "apple", 1)], keep=10)
    hot.set_trending(redis, "24h", {"dates": 4.0, "bread": 3.0})
    reasons = explain.reasons(redis, ListReader(redis, 1.0), MODEL, "ann", ITEMS)
    # apple was touched; bread and cheese follow apple in the ring; dates is trending; elder is none of it.
    assert reasons == ["from your history", "goes with Apple", "goes with Apple", "popular now", "picked for you"]


def test_the_newest_companion_is_named(redis: Redis) -> None:
    fill_redis(redis)
    hot.record(redis, [("ann", "apple", 1), ("ann", "bread", 2)], keep=10)
    reasons = explain.reasons(redis, ListReader(redis, 1.0), MODEL, "ann", [ITEMS[2]])
    assert reasons == ["goes with Bread"]


def test_a_stranger_gets_no_made_up_history(redis: Redis) -> None:
    fill_redis(redis)
    assert set(explain.reasons(redis, ListReader(redis, 1.0), MODEL, "nobody", ITEMS)) == {"picked for you"}
