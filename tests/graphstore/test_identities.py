"""Sessions that log in: the earliest login holds, chains end, circles break, and no order changes anything."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select

from graphstore import queries
from graphstore.identities import IdentityRow, ingest_identities, resolve
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import read, write
from graphstore.state import get_states
from graphstore.tables import PEOPLE_GENERATION, erasures, identities, users

NOW = 1_700_000_000_000


def login(engine: Engine, *rows: tuple[str, str, int]) -> set[str]:
    with write(engine) as connection:
        return ingest_identities(connection, [IdentityRow(*row) for row in rows]).persons


def persons(engine: Engine) -> dict[str, str]:
    person = users.alias()
    query = select(users.c.user_id, person.c.user_id).join(person, person.c.user_key == users.c.person_key)
    with read(engine) as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def generation(engine: Engine) -> int:
    with read(engine) as connection:
        return get_states(connection).get(PEOPLE_GENERATION, 0)


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ({"a": "u"}, {"a": "u"}),
        ({"a": "b", "b": "u"}, {"a": "u", "b": "u"}),
        ({"a": "b", "b": "a"}, {"a": "a", "b": "a"}),
        ({"z": "b", "b": "c", "c": "b"}, {"z": "b", "b": "b", "c": "b"}),
    ],
)
def test_a_person_is_the_end_of_the_chain(parents: dict[str, str], expected: dict[str, str]) -> None:
    for order in itertools.permutations(parents):
        assert resolve(parents, order) == expected


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")))
def test_everybody_in_a_chain_has_the_same_person(parents: dict[str, str]) -> None:
    parents = {user: parent for user, parent in parents.items() if user != parent}
    found = resolve(parents, "abcdefgh")
    for user, parent in parents.items():
        assert found[user] == found[parent]
    assert all(found[person] == person for person in found.values())


def test_a_session_belongs_to_whom_it_logged_in_as_before_and_after(engine: Engine) -> None:
    with write(engine) as connection:
        ingest_interactions(connection, [InteractionRow("1", 0, "anon", "tea", NOW)], now=NOW)
    assert login(engine, ("anon", "ann", NOW)) == {"anon", "ann"}
    with write(engine) as connection:
        rows = [InteractionRow("2", 3, "anon", "cup", NOW + 1), InteractionRow("3", 3, "ann", "tea", NOW + 2)]
        done = ingest_interactions(connection, rows, now=NOW)
        assert done.persons == {"anon": "ann"}
        names = {item.item_key: item.item_id for item in queries.all_items(connection)}
        history = queries.user_history(connection, "ann", 10)
        assert [(names[item], time) for item, time, _ in history] == [("tea", NOW), ("cup", NOW + 1), ("tea", NOW + 2)]
        assert [name for _, name in queries.all_users(connection)] == ["ann"]
        assert queries.item_times(connection, "ann") == {"tea": NOW + 2, "cup": NOW + 1}


def test_a_login_before_any_event_holds_for_what_comes(engine: Engine) -> None:
    login(engine, ("anon", "ann", NOW))
    with write(engine) as connection:
        assert ingest_interactions(connection, [InteractionRow("1", 0, "anon", "tea", 1)], now=NOW).persons == {
            "anon": "ann"
        }


ROWS = [("a", "u", 10), ("a", "v", 5), ("b", "a", 7), ("u", "w", 9), ("w", "u", 3), ("c", "b", 1), ("c", "v", 1)]


@pytest.mark.parametrize("seed", range(6))
def test_no_order_and_no_batching_changes_the_persons(engine: Engine, seed: int) -> None:
    import random

    rng = random.Random(seed)
    rows = ROWS * 2
    rng.shuffle(rows)
    cut = rng.randrange(len(rows))
    for batch in (rows[:cut], rows[cut:]):
        login(engine, *batch)
    # a: the earlier login, v. w and u name each other: the smaller. c: a tie in time, the smaller name, b, hence a.
    assert persons(engine) == {"a": "v", "b": "v", "c": "v", "w": "u"}
    with read(engine) as connection:
        assert {tuple(row) for row in connection.execute(select(identities))} == {
            ("a", "v", 5), ("b", "a", 7), ("c", "b", 1), ("u", "w", 9), ("w", "u", 3),
        }  # fmt: skip


def test_a_repeated_login_names_its_persons_and_changes_nothing(engine: Engine) -> None:
    login(engine, ("anon", "ann", NOW))
    before = generation(engine)
    assert "ann" in login(engine, ("anon", "ann", NOW), ("anon", "bob", NOW + 1))
    assert generation(engine) == before == 1


def test_an_earlier_login_moves_the_session_and_names_both(engine: Engine) -> None:
    login(engine, ("anon", "bob", NOW))
    assert login(engine, ("anon", "ann", NOW - 1)) == {"ann", "bob"}
    assert persons(engine) == {"anon": "ann"}


def test_nobody_is_brought_back_by_a_login(engine: Engine) -> None:
    with write(engine) as connection:
        connection.execute(insert(erasures).values(user_id="ann", requested_at=NOW))
    assert login(engine, ("anon", "ann", NOW), ("ann", "other", NOW), ("same", "same", NOW)) == set()
    assert persons(engine) == {}
