import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from graphstore.redis.connection import open_redis
from serving.breaker import Breaker, GuardedRedis

TIMEOUT_SECONDS = 0.3


def test_after_a_timeout_nobody_asks_until_one_request_tries() -> None:
    now = [0.0]
    breaker = Breaker(open_seconds=1.0, clock=lambda: now[0])
    breaker.check()
    breaker.timed_out()
    with pytest.raises(RedisConnectionError):
        breaker.check()
    now[0] = 1.0
    breaker.check()  # this one tries
    with pytest.raises(RedisConnectionError):
        breaker.check()
    breaker.answered()
    breaker.check()


def test_a_redis_that_hangs_costs_one_timeout_and_then_nothing(hung_redis: str) -> None:
    redis = open_redis(hung_redis, timeout_seconds=TIMEOUT_SECONDS, kind=GuardedRedis, repeat_timeouts=False)
    started = time.monotonic()
    with pytest.raises(RedisError):
        redis.get("a")
    assert TIMEOUT_SECONDS * 0.9 <= time.monotonic() - started < TIMEOUT_SECONDS * 1.8
    started = time.monotonic()
    for _ in range(50):
        with pytest.raises(RedisConnectionError, match="not asked again"):
            redis.get("a")
    assert time.monotonic() - started < TIMEOUT_SECONDS
    redis.close()
