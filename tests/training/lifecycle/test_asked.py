"""Requests by HTTP become rows, once each."""

import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore.redis.asked import ASKED, Asked, ask, raw_requests
from graphstore.redis.connection import open_redis
from graphstore.session import read
from training.lifecycle.asked import AskedRequests
from training.lifecycle.registry import RetrainRequest
from training.lifecycle.requests import waiting_requests

FIRST = Asked(requested_by="api", reason="season", asked_at=5, full=True)
SECOND = Asked(requested_by="api", reason="stock", asked_at=6)


def waiting(engine: Engine) -> list[RetrainRequest]:
    with read(engine) as connection:
        return waiting_requests(connection)


def test_each_request_becomes_one_row(engine: Engine, redis: Redis) -> None:
    collector = AskedRequests(engine, redis)
    collector.collect()
    for asked in (FIRST, SECOND):
        ask(redis, asked)
    collector.collect()
    assert waiting(engine) == [
        RetrainRequest(1, "season", "api", 5, full=True),
        RetrainRequest(2, "stock", "api", 6, full=False),
    ]
    assert raw_requests(redis) == []
    ask(redis, FIRST)  # as after a kill between the row and the list
    collector.collect()
    assert len(waiting(engine)) == 2
    assert raw_requests(redis) == []


def test_what_is_no_request_does_not_stop_the_others(
    sqlite_engine: Engine, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis.rpush(ASKED, b"{")
    ask(redis, FIRST)
    AskedRequests(sqlite_engine, redis).collect()
    assert [request.reason for request in waiting(sqlite_engine)] == ["season"]
    assert "cannot be read and is dropped" in caplog.text


def test_one_line_says_that_redis_is_away(sqlite_engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    collector = AskedRequests(sqlite_engine, open_redis("redis://127.0.0.1:1/0"))
    for _ in range(3):
        collector.collect()
    collector.close()
    assert [record.message for record in caplog.records if "wait for Redis" in record.message] == [
        "requests by HTTP wait for Redis: Error 111 connecting to 127.0.0.1:1. Connection refused."
    ]
