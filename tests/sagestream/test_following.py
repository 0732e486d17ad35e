"""Readers follow a verb at once where Redis is there; where it is not, a line says so."""

from io import StringIO
from pathlib import Path

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
from tests.sagestream.verbs.commands import run
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


def test_an_experiment_reaches_readers_when_it_starts_and_when_it_stops(
    redis: Redis, redis_url: str, tmp_path: Path, sqlite_engine: Engine
) -> None:
    register(sqlite_engine, "m1")
    register(sqlite_engine, "m0", status="kept")
    publisher = Publisher(ShopSource(sqlite_engine, 10), redis, ServingConfig(), load=toy_opened())
    publisher.reconcile()
    database = f"sqlite:///{tmp_path / 'graph.db'}"
    settings = {"STATE_DIR": str(tmp_path), "DATABASE_URL": database, "REDIS_URL": redis_url}

    def variants() -> set[str]:
        lists = cache.ListReader(redis)
        return {found.variant for n in range(50) if (found := lists.assign(f"u{n}", "home"))}

    assert run("experiments", "start", "bold", "--arm", "a=0.5", "--arm", "b=0.5,temperature=1", settings=settings)
    assert variants() == {"bold/a", "bold/b"}
    run("experiments", "stop", "bold", settings=settings)
    assert variants() == {"champion"}
    run("experiments", "start", "old", "--arm", "a=0.5", "--arm", "b=0.5,model=m0", settings=settings)
    assert variants() == {"champion"}  # the lists of m0 are not there
    assert [done.model_version for done in publisher.reconcile()] == ["m0"]
    assert variants() == {"old/a", "old/b"}
