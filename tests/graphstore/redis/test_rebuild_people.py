"""The hot keys of everybody beside whoever changes them, interleaved by hand."""

from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore import queries
from graphstore.redis import hot, rebuild_people
from tests.graphstore.changes import ACTS, T0, Shop


@pytest.fixture
def shop(sqlite_engine: Engine, redis: Redis) -> Shop:
    return Shop(sqlite_engine, redis)


def test_sessions_and_many_items(shop: Shop) -> None:
    expected = shop.expected()
    assert expected["ann"] == ({"i1": T0, "i2": T0 + 1}, {"i1", "i2"})
    assert shop.keys() == expected
    shop.redis.flushall()
    done = shop.rebuild()
    assert shop.keys() == expected
    assert (done.persons, done.edges, done.removed) == (4, 13, 0)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("flushed", [True, False])
def test_between_the_read_and_the_write(shop: Shop, monkeypatch: pytest.MonkeyPatch, act: str, flushed: bool) -> None:
    if flushed:
        shop.redis.flushall()
    restore = rebuild_people.add_missing
    acted: list[Any] = []

    def late(*arguments: Any) -> set[str]:
        if not acted:
            acted.append(None)
            ACTS[act](shop)
        return restore(*arguments)

    monkeypatch.setattr(rebuild_people, "add_missing", late)
    shop.rebuild()
    assert acted
    assert shop.keys() == shop.expected()


@pytest.mark.parametrize("act", ACTS)
def test_while_somebody_is_replaced(shop: Shop, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """The slow path, which whoever has many items takes."""
    shop.redis.flushall()
    monkeypatch.setattr(hot, "RECORD_TOUCHES", 0)
    item_times = queries.item_times
    acted: list[Any] = []

    def late(connection: Any, user_id: str) -> dict[str, int]:
        found = item_times(connection, user_id)
        if not acted:
            acted.append(None)
            ACTS[act](shop)
        return found

    monkeypatch.setattr(queries, "item_times", late)
    shop.rebuild()
    assert acted
    assert shop.keys() == shop.expected()
