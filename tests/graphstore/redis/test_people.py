"""Single people's hot keys, where who is whom changes while they are written."""

from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, select

from graphstore.identities import IdentityRow, ingest_identities, settle
from graphstore.redis import people
from graphstore.redis.people import refresh_people
from graphstore.session import read, write
from graphstore.tables import stale_people
from tests.graphstore.changes import ACTS, KEEP, LIFETIME, T0, Shop


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("users", [["bob"], ["a1"], ["ann", "bob", "b1", "cyd", "nobody"]])
def test_it_is_done_again(
    sqlite_engine: Engine, redis: Redis, monkeypatch: pytest.MonkeyPatch, act: str, users: list[str]
) -> None:
    shop = Shop(sqlite_engine, redis)
    who_is_whom = people.who_is_whom
    acted: list[str] = []

    def late(engine: Engine, user_ids: Any) -> dict[str, str | None]:
        found = who_is_whom(engine, user_ids)
        if not acted:
            acted.append(act)
            ACTS[act](shop)
        return found

    monkeypatch.setattr(people, "who_is_whom", late)
    refresh_people(sqlite_engine, redis, users, keep=KEEP, lifetime=LIFETIME)
    assert acted
    assert shop.keys() == shop.expected()


def test_a_login_that_a_kill_cut_off_is_finished_when_it_comes_again(
    sqlite_engine: Engine, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session's former person stands in no table any more once the earlier login is committed."""
    shop = Shop(sqlite_engine, redis)
    shop.login("b1", "bob", T0 + 40)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("stream.worker.sink.refresh_people", killed)
        shop.login("b1", "ann", T0)  # it was Ann's all the time
    assert shop.keys() != shop.expected()
    shop.login("b1", "ann", T0)
    assert shop.keys() == shop.expected()
    assert stale(sqlite_engine) == []


def test_a_login_that_overtakes_costs_one_write(
    sqlite_engine: Engine, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logins of others come all the time. A rebuild that began again after each would never end in a busy shop."""
    shop = Shop(sqlite_engine, redis)
    names = [f"shopper-{number}" for number in range(20)]
    replace, tries = people.hot.replace, dict.fromkeys(names, 0)

    def overtaken(redis: Redis, user_id: str, read: Any, **settings: Any) -> None:
        def late() -> Any:
            found = read()
            tries[user_id] += 1
            if tries[user_id] == 1:
                shop.login(f"session-of-{user_id}", f"friend-of-{user_id}", T0)
            return found

        replace(redis, user_id, late if user_id in tries else read, **settings)

    monkeypatch.setattr(people.hot, "replace", overtaken)
    refresh_people(sqlite_engine, redis, names, keep=KEEP, lifetime=LIFETIME)
    assert set(tries.values()) == {2}
    assert shop.keys() == shop.expected()


def test_what_a_later_login_concerns_stays_stale(sqlite_engine: Engine) -> None:
    with write(sqlite_engine) as connection:
        first = ingest_identities(connection, [IdentityRow("s", "bob", T0 + 40)])
    with write(sqlite_engine) as connection:
        later = ingest_identities(connection, [IdentityRow("s", "ann", T0)])
    assert later.stale == {"s", "bob", "ann"}
    with write(sqlite_engine) as connection:
        settle(connection, first)
    assert stale(sqlite_engine) == ["ann", "bob", "s"]
    with write(sqlite_engine) as connection:
        settle(connection, later)
    assert stale(sqlite_engine) == []


def stale(engine: Engine) -> list[str]:
    with read(engine) as connection:
        return sorted(connection.scalars(select(stale_people.c.user_id)))
