import socket
import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from graphstore.redis.connection import open_redis
from serving.breaker import Breaker, GuardedRedis
from tests.scripted import scripted

TIMEOUT_SECONDS = 1.0


def never(connection: socket.socket) -> None:
    """Take what is sent, and say nothing until the client has gone."""
    while connection.recv(4096):
        pass


def test_after_a_timeout_nobody_asks_until_one_request_tries() -> None:
    now = [0.0]
    breaker = Breaker(open_seconds=1.0, clock=lambda: now[0])
    breaker.check()
    breaker.timed_out()
    with pytest.raises(RedisConnectionError):
        breaker.check()
    now[0] = 1.0
    breaker.check()  # this one tries
    now[0] = 60.0
    with pytest.raises(RedisConnectionError):
        breaker.check()  # the first one still waits
    breaker.answered()
    breaker.check()


def test_a_redis_that_hangs_costs_one_timeout_and_then_nothing() -> None:
    with scripted([never]) as (url, taken):
        redis = open_redis(
            url.replace("http", "redis"), timeout_seconds=TIMEOUT_SECONDS, kind=GuardedRedis, repeat_timeouts=False
        )
        redis.breaker = Breaker(open_seconds=600.0)
        began = time.monotonic()
        with pytest.raises(RedisError):
            redis.get("a")
        assert time.monotonic() - began >= TIMEOUT_SECONDS * 0.9
        for _ in range(50):
            with pytest.raises(RedisConnectionError, match="not asked again"):
                redis.get("a")
        redis.close()
    assert len(taken) == 1


def test_a_name_server_that_hangs_delays_one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looked_up = [0.0], []

    def hung_name_server(*asked: object, **_options: object) -> None:
        looked_up.append(asked)
        now[0] += 8.0
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hung_name_server)
    redis = open_redis("redis://stopped/0", timeout_seconds=TIMEOUT_SECONDS, kind=GuardedRedis, repeat_timeouts=False)
    redis.breaker = Breaker(open_seconds=1.0, clock=lambda: now[0])
    with pytest.raises(RedisConnectionError, match="name resolution"):
        redis.get("a")
    for _ in range(50):
        with pytest.raises(RedisConnectionError, match="not asked again"):
            redis.get("a")
    assert len(looked_up) == 2  # the request, and its one repetition
    now[0] += 1.0
    with pytest.raises(RedisConnectionError, match="name resolution"):
        redis.get("a")
    redis.close()


def test_a_connection_that_is_refused_at_once_leaves_the_breaker_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown_name(*_asked: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown_name)
    redis = open_redis("redis://stopped/0", timeout_seconds=TIMEOUT_SECONDS, kind=GuardedRedis, repeat_timeouts=False)
    redis.breaker = Breaker(open_seconds=1.0, clock=lambda: 0.0)
    for _ in range(2):
        with pytest.raises(RedisConnectionError, match="not known"):
            redis.get("a")
    redis.close()
