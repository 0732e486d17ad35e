"""Readers follow a verb at once where Redis is there; where it is not, a line says so."""

from io import StringIO

import pytest
from redis import Redis
from sqlalchemy import Engine

from sagestream.following import followed
from sagestream.printable import PlainConsole
from sagestream.stages import Stages
from serving import cache
from serving.config import ServingConfig
from serving.publisher import Publisher
from serving.source import ShopSource
from tests.serving.toy import register, toy_opened


def test_readers_follow_when_the_lists_are_there(
    sqlite_engine: Engine, redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = StringIO()
    stages = Stages(PlainConsole(file=said, width=200))
    monkeypatch.setenv("SAGESTREAM_REDIS_URL", redis_url)
    register(sqlite_engine, "m1")
    assert not followed(sqlite_engine, stages)  # nobody has written lists
    Publisher(ShopSource(sqlite_engine), redis, ServingConfig(), load=toy_opened()).reconcile()
    redis.delete(cache.CHAMPION)
    assert followed(sqlite_engine, stages)
    assert redis.get(cache.CHAMPION) == b"m1"
    assert said.getvalue() == ""
    monkeypatch.setenv("SAGESTREAM_REDIS_URL", "redis://127.0.0.1:1/0")
    assert not followed(sqlite_engine, stages)
    assert "not switched" in said.getvalue()
