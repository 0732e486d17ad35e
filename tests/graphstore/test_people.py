"""Single people's hot keys, where who is whom changes while they are written."""

from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore import people
from graphstore.people import refresh_people
from tests.graphstore.changes import ACTS, KEEP, Shop


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("users", [["bob"], ["a1"], ["ann", "bob", "b1", "cyd", "nobody"]])
def test_it_is_done_again(
    sqlite_engine: Engine, redis: Redis, monkeypatch: pytest.MonkeyPatch, act: str, users: list[str]
) -> None:
    shop = Shop(sqlite_engine, redis)
    who_is_whom = people._who_is_whom
    acted: list[str] = []

    def late(engine: Engine, user_ids: Any) -> dict[str, str | None]:
        found = who_is_whom(engine, user_ids)
        if not acted:
            acted.append(act)
            ACTS[act](shop)
        return found

    monkeypatch.setattr(people, "_who_is_whom", late)
    refresh_people(sqlite_engine, redis, users, keep=KEEP)
    assert acted
    assert shop.keys() == shop.expected()
