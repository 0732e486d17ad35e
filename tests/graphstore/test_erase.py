"""Erasure in SQL: nothing of the person is left, nothing of anybody else changes, and nothing comes back."""

import json
import random
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, text
from sqlalchemy import event as engine_event

from graphstore import queries
from graphstore.erase import add_to_receipt, erase_person, find_person, list_erasures, merged
from graphstore.identities import IdentityRow, ingest_identities
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import read, write
from graphstore.state import get_states
from graphstore.tables import (
    COUNT_COLUMNS,
    HOUR_MS,
    PEOPLE_GENERATION,
    attributions,
    edges,
    erasures,
    identities,
    impressions,
    interactions,
    item_buckets,
    metadata,
    seen_items,
    users,
)
from graphstore.upserts import ImpressionRow, SeenRow, UserRow, insert_impressions, insert_seen, upsert_users
from monitoring.attribution import attribute_now
from stream.worker.sink import Sink
from tests.stream.worlds import live, random_events
from tests.waiting import wait_until

DAY = 24 * HOUR_MS
T0 = 20_000 * DAY
NOW = T0 + 30 * DAY


def event(name: str, user: str, item: str = "i", *, time: int = T0, kind: int = 0, **more: Any) -> InteractionRow:
    return InteractionRow(name, kind, user, item, time, **more)


def served(request: str, user: str, item: str = "i") -> ImpressionRow:
    return ImpressionRow(request, 0, user, item, "home", T0, "m1", "champion", 1.0, 1.0, "batch")


def take(engine: Engine, *rows: InteractionRow) -> None:
    with write(engine) as connection:
        ingest_interactions(connection, rows, now=NOW)


def login(engine: Engine, session: str, user: str, *, time: int = T0) -> None:
    with write(engine) as connection:
        ingest_identities(connection, [IdentityRow(session, user, time)])


def everything(engine: Engine) -> str:
    """Every row of every table but the tombstones, as text."""
    with read(engine) as connection:
        rows = {
            name: [tuple(row) for row in connection.execute(select(table))]
            for name, table in metadata.tables.items()
            if name != "erasures"
        }
    return json.dumps(rows, ensure_ascii=False)


def rows_of(engine: Engine, ids: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """The facts of everybody but these, by id."""
    with read(engine) as connection:
        others = select(users.c.user_key).where(users.c.user_id.not_in(ids))
        return {
            "users": sorted(map(tuple, connection.execute(select(users).where(users.c.user_id.not_in(ids))))),
            "interactions": sorted(
                (tuple(r) for r in connection.execute(select(interactions).where(interactions.c.user_key.in_(others)))),
                key=repr,
            ),
            "edges": sorted(map(tuple, connection.execute(select(edges).where(edges.c.user_key.in_(others))))),
            "impressions": sorted(
                map(tuple, connection.execute(select(impressions).where(impressions.c.user_id.not_in(ids))))
            ),
            "seen_items": sorted(
                map(tuple, connection.execute(select(seen_items).where(seen_items.c.user_id.not_in(ids))))
            ),
            "identities": sorted(
                map(tuple, connection.execute(select(identities).where(identities.c.anonymous_id.not_in(ids))))
            ),
        }


def buckets(engine: Engine) -> dict[tuple[int, int], tuple[int, ...]]:
    with read(engine) as connection:
        return {
            (row.hour, row.item_key): tuple(getattr(row, name) for name in COUNT_COLUMNS)
            for row in connection.execute(select(item_buckets))
        }


def recounted(engine: Engine) -> dict[tuple[int, int], tuple[int, ...]]:
    """The counters as the interactions say them."""
    found: dict[tuple[int, int], list[int]] = {}
    with read(engine) as connection:
        for row in connection.execute(select(interactions)):
            counts = found.setdefault((row.event_time // HOUR_MS, row.item_key), [0] * len(COUNT_COLUMNS))
            counts[row.event_type] += 1
    return {key: tuple(counts) for key, counts in found.items()}


@pytest.mark.parametrize("seed", range(6))
def test_of_a_random_world_one_person_goes_and_nothing_else(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    live(Sink(engine, None, recent_items=5, trending_items=5), random_events(rng, 300), rng)
    with write(engine) as connection:
        attribute_now(connection)
    user = rng.choice(["u1", "u2", "s0", "s3"])
    person = find_person(engine, user)
    before = rows_of(engine, person.ids)
    with read(engine) as connection:
        keys = set(connection.scalars(select(users.c.user_key).where(users.c.user_id.in_(person.ids))))
        counts = {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in before}
    done = erase_person(engine, user, now=NOW)
    assert done.ids == person.ids
    assert done.receipt["sql"]["interactions"] == person.interactions > 0
    for name, rows in before.items():
        assert done.receipt["sql"][name] == counts[name] - len(rows), name
    assert rows_of(engine, person.ids) == before
    assert buckets(engine) == recounted(engine)
    left = everything(engine)
    assert not [name for name in person.ids if f'"{name}"' in left]
    with read(engine) as connection:
        for table in (interactions, edges, users):
            assert keys.isdisjoint(connection.scalars(select(table.c.user_key)))
        events = set(connection.scalars(select(interactions.c.event_id)))
        assert set(connection.scalars(select(attributions.c.event_id))) <= events
        assert set(connection.scalars(select(erasures.c.user_id))) == set(person.ids)


def test_a_session_names_its_person_and_all_their_sessions(engine: Engine) -> None:
    take(engine, event("e1", "s1"), event("e2", "ann"), event("e3", "bob"))
    for session, user in (("s1", "ann"), ("s2", "s1"), ("s3", "ann"), ("t1", "bob")):
        login(engine, session, user)
    assert find_person(engine, "s2").ids == ["ann", "s1", "s2", "s3"]
    assert find_person(engine, "s2").interactions == 2
    assert erase_person(engine, "s3", now=NOW).ids == ["ann", "s1", "s2", "s3"]
    assert find_person(engine, "t1").ids == ["bob", "t1"]


def test_what_comes_late_finds_the_tombstone(engine: Engine) -> None:
    take(engine, event("e1", "ann"), event("e2", "s1"), event("e3", "bob"))
    login(engine, "s1", "ann")
    erase_person(engine, "ann", now=NOW)
    before = everything(engine)
    with write(engine) as connection:
        late = ingest_interactions(connection, [event("e1", "ann"), event("e9", "s1"), event("e3", "bob")], now=NOW)
        upsert_users(connection, [UserRow("ann", {"city": "Ulm"}, NOW)])
        insert_impressions(connection, [served("r1", "ann"), served("r2", "s1")])
        insert_seen(connection, [SeenRow("r1", 0, "ann", NOW), SeenRow("r2", 0, "s1", NOW)])
    login(engine, "s1", "ann", time=1)
    login(engine, "bob", "s1", time=1)
    assert (late.erased, late.erased_users, late.duplicate) == (2, {"ann", "s1"}, 1)
    assert everything(engine) == before


def test_an_unknown_id_gets_a_tombstone_too(engine: Engine) -> None:
    assert not find_person(engine, "ghost").known
    done = erase_person(engine, "ghost", now=NOW)
    assert (done.ids, done.requested_at, done.completed_at) == (["ghost"], NOW, None)
    assert set(done.receipt["sql"].values()) == {0}
    take(engine, event("e1", "ghost"))
    with read(engine) as connection:
        assert queries.counts(connection)["users"] == 0


def test_a_second_time_keeps_the_first_tombstone_and_adds_to_the_receipt(engine: Engine) -> None:
    take(engine, event("e1", "ann"), event("e2", "s1"))
    login(engine, "s1", "ann")
    first = erase_person(engine, "ann", now=NOW)
    assert add_to_receipt(engine, "s1", {"redis": {"lists": 3}}, completed_at=NOW + 5).completed_at == NOW + 5
    again = erase_person(engine, "s1", now=NOW + 99)
    assert (again.ids, again.requested_at, again.completed_at) == (first.ids, NOW, NOW + 5)
    assert again.receipt == {**first.receipt, "redis": {"lists": 3}}
    assert add_to_receipt(engine, "ann", {"redis": {"lists": 2}}, completed_at=NOW + 7).completed_at == NOW + 5
    (listed,) = list_erasures(engine)
    assert (listed.user_id, listed.ids, listed.receipt["redis"]) == ("ann", ["ann", "s1"], {"lists": 5})


def test_receipts_hold_no_ids(engine: Engine) -> None:
    take(engine, event("e1", "ann-with-a-name"))
    assert "ann" not in json.dumps(erase_person(engine, "ann-with-a-name", now=NOW).receipt)


def test_numbers_of_receipts_are_added_and_words_replaced() -> None:
    one = {"a": 1, "b": {"c": 2, "said": "old", "ok": True}, "k": "away"}
    other = {"a": 4, "b": {"c": 1, "said": "new", "ok": False}, "k": {"x": 1}, "new": 7}
    assert merged(one, other) == {"a": 5, "b": {"c": 3, "said": "new", "ok": False}, "k": {"x": 1}, "new": 7}


def test_what_compaction_took_out_stays_counted_as_nobodys(engine: Engine) -> None:
    take(engine, event("e1", "ann"), event("e2", "ann"), event("e3", "bob", time=T0 + DAY))
    with write(engine) as connection:
        connection.execute(delete(interactions).where(interactions.c.event_id == "e1"))
    erase_person(engine, "ann", now=NOW)
    assert sorted(counts[0] for counts in buckets(engine).values()) == [1, 1]
    with read(engine) as connection:
        assert queries.counts(connection)["edges"] == 1


def test_an_attribution_to_a_list_of_the_person_goes(engine: Engine) -> None:
    with write(engine) as connection:
        insert_impressions(connection, [served("r1", "ann")])
    take(engine, event("e1", "ann", kind=1, request_id="r1"))
    with write(engine) as connection:
        assert attribute_now(connection) == 1
    assert erase_person(engine, "ann", now=NOW).receipt["sql"]["attributions"] == 1
    with write(engine) as connection:
        assert attribute_now(connection) == 0


def test_keys_of_the_newest_rows_are_not_given_out_again(engine: Engine) -> None:
    take(engine, event("e1", "ann"), event("e2", "bob"))
    with read(engine) as connection:
        newest = max(connection.scalars(select(interactions.c.interaction_key)))
        bob = queries.user_keys(connection, ["bob"])["bob"]
    erase_person(engine, "bob", now=NOW)
    take(engine, event("e3", "cyd"))
    with read(engine) as connection:
        assert max(connection.scalars(select(interactions.c.interaction_key))) > newest
        assert queries.user_keys(connection, ["cyd"])["cyd"] > bob


def test_others_hear_of_it(engine: Engine) -> None:
    erase_person(engine, "ann", now=NOW)
    with read(engine) as connection:
        assert get_states(connection)[PEOPLE_GENERATION] == 1


@pytest.mark.parametrize("what", ["interactions", "attributes", "impressions", "attributions"])
def test_who_writes_at_that_moment_is_waited_for(engine: Engine, what: str) -> None:
    take(engine, event("e0", "ann", kind=1, request_id="r0"))
    with write(engine) as connection:
        insert_impressions(connection, [served("r0", "ann")])
    erasing = threading.Thread(target=erase_person, args=(engine, "ann"), kwargs={"now": NOW})
    begun = threading.Event()
    engine_event.listen(
        engine, "before_cursor_execute", lambda *_: begun.set() if threading.current_thread() is erasing else None
    )

    def waits() -> bool:
        """SQLite's first statement waits for the lock; PostgreSQL tells who does."""
        if engine.dialect.name == "sqlite":
            return begun.is_set()
        with read(engine) as other:
            return bool(other.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    with write(engine) as connection:
        if what == "interactions":
            ingest_interactions(connection, [event("e1", "ann", "new item")], now=NOW)
        elif what == "attributes":
            upsert_users(connection, [UserRow("ann", {"city": "Ulm"}, NOW)])
        elif what == "impressions":
            insert_impressions(connection, [served("r1", "ann")])
        else:
            assert attribute_now(connection) == 1
        erasing.start()
        wait_until(lambda: waits() or not erasing.is_alive())
        assert erasing.is_alive()
    erasing.join(20)
    assert not erasing.is_alive()
    assert '"ann"' not in everything(engine)
    assert buckets(engine) == {}
    with read(engine) as connection:
        assert not connection.execute(select(attributions)).all()


def test_a_person_with_very_many_sessions(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphstore.erase.CHUNK_IDS", 3)
    sessions = [f"s{n}" for n in range(10)]
    take(engine, *(event(f"e{n}", name, f"i{n % 3}") for n, name in enumerate(sessions)), event("b", "bob", "i0"))
    with write(engine) as connection:
        ingest_identities(connection, [IdentityRow(name, "ann", T0) for name in sessions])
    done = erase_person(engine, "s7", now=NOW)
    assert (len(done.ids), done.receipt["ids"], done.receipt["sql"]["interactions"]) == (11, 11, 10)
    assert buckets(engine) == recounted(engine)
    add_to_receipt(engine, "s3", {}, completed_at=NOW)
    with read(engine) as connection:
        assert set(connection.scalars(select(erasures.c.completed_at))) == {NOW}


def test_a_tombstone_of_another_hand_is_taken_over(engine: Engine) -> None:
    take(engine, event("e1", "ann"))
    with write(engine) as connection:
        connection.execute(insert(erasures).values(user_id="ann", requested_at=5))
    done = erase_person(engine, "ann", now=NOW)
    assert (done.requested_at, done.receipt["sql"]["interactions"]) == (5, 1)
    assert list_erasures(engine) == [done]
