from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete, select

from graphstore import history
from graphstore.history import Selection
from graphstore.item_fields import ItemRow, changed, changes, joined, of_entry
from graphstore.session import read, write
from graphstore.tables import items
from graphstore.upserts import item_row, upsert_items

ENTRY = ItemRow("i", "Tea", ["Drinks"], "B", 2.0, True, 10, {"colour": "green", "size": 1}, stock=5)

_times = st.integers(1, 6)
_attributes = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y", 1, 1.0, 0, True, False]), max_size=3)
_entries = st.builds(
    lambda **fields: ItemRow("i", **fields),
    title=st.sampled_from(["", "Tea", "Rum"]),
    categories=st.lists(st.sampled_from("de"), max_size=2),
    brand=st.just(""),
    price=st.sampled_from([None, 0.0, 2.5]),
    available=st.booleans(),
    updated_at=_times,
    attributes=_attributes,
    stock=st.sampled_from([None, 0, 3]),
)
_deletes = st.builds(lambda time: ItemRow("i", "", [], "", None, False, time), _times)
_changes = st.builds(
    lambda fields, attributes, time: changed("i", fields, attributes, time=time),
    st.fixed_dictionaries(
        {},
        optional={
            "title": st.sampled_from(["", "Gin"]),
            "price": st.sampled_from([None, 7.0]),
            "available": st.booleans(),
            "stock": st.sampled_from([None, 0, 9]),
        },
    ),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, "x", 1, 1.0, True]), max_size=3),
    _times,
).filter(lambda row: len(row.field_times) > 1)
_writes = st.lists(st.one_of(_entries, _deletes, _changes), min_size=1, max_size=6)


def exact(row: ItemRow) -> str:
    """The row with the types of its values: 1 is not 1.0."""
    return repr({name: dict(sorted(v.items())) if hasattr(v, "items") else v for name, v in row._asdict().items()})


def joined_all(rows: list[ItemRow]) -> ItemRow:
    found = joined(rows[0], rows[0])
    for row in rows[1:]:
        found = joined(found, row)
    return found


@given(_writes, st.randoms(use_true_random=False))
def test_no_order_and_no_repetition_of_writes_changes_the_row(rows: list[ItemRow], rng: Any) -> None:
    shuffled = [*rows, rng.choice(rows)]
    rng.shuffle(shuffled)
    assert exact(joined_all(rows)) == exact(joined_all(shuffled))


@given(_writes, _writes)
def test_states_join_as_their_writes_do(one: list[ItemRow], other: list[ItemRow]) -> None:
    assert exact(joined(joined_all(one), joined_all(other))) == exact(joined_all([*one, *other]))


@given(_writes)
def test_a_row_comes_back_from_its_entry_and_its_changes(rows: list[ItemRow]) -> None:
    row = joined_all(rows)
    entry = of_entry(row)
    parts = [] if entry is None else [entry]
    parts += [changed("i", fields, attributes, time=time) for time, fields, attributes in changes(row)]
    assert exact(joined_all(parts[::-1])) == exact(row)


def test_a_change_leaves_the_other_fields_and_attributes() -> None:
    found = joined(ENTRY, changed("i", {"price": 3.0, "stock": None}, {"size": None, "new": True}, time=20))
    assert (found.title, found.price, found.stock, found.updated_at) == ("Tea", 3.0, None, 20)
    assert found.attributes == {"colour": "green", "new": True}


def test_a_late_entry_does_not_undo_a_newer_change() -> None:
    sold_out = changed("i", {"stock": 0}, {}, time=20)
    late = ENTRY._replace(updated_at=15, title="Green tea", stock=8)
    found = joined(joined(ENTRY, sold_out), late)
    assert (found.title, found.stock, found.updated_at, found.entry_time) == ("Green tea", 0, 20, 15)


def test_a_newer_entry_undoes_every_older_change() -> None:
    newer = ENTRY._replace(updated_at=30, attributes={})
    found = joined(joined(ENTRY, changed("i", {"stock": 0}, {"new": True}, time=20)), newer)
    assert exact(found) == exact(newer)


def test_a_change_does_not_bring_a_deleted_item_back_unless_it_says_so() -> None:
    gone = joined(ENTRY, ItemRow("i", "", [], "", None, False, 20))
    priced = joined(gone, changed("i", {"price": 3.0}, {}, time=30))
    assert (priced.available, priced.price) == (False, 3.0)
    assert joined(priced, changed("i", {"available": True}, {}, time=40)).available


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])  # each order begins anew
@given(rows=_writes)
def test_the_store_holds_the_join_in_any_order(sqlite_engine: Engine, rows: list[ItemRow]) -> None:
    expected = exact(joined_all(rows))
    with write(sqlite_engine) as connection:  # one transaction, because each would wait for the disk
        for order in list(permutations(rows))[:6]:
            connection.execute(delete(items))
            for row in order:
                upsert_items(connection, [row])
            assert exact(stored(connection)) == expected


@pytest.mark.parametrize("first", ["entry", "change"])
def test_the_store_joins_what_two_batches_bring(engine: Engine, first: str) -> None:
    rows = [ENTRY, changed("i", {"price": 3.0}, {"size": None}, time=20)]
    for row in rows if first == "entry" else rows[::-1]:
        with write(engine) as connection:
            upsert_items(connection, [row, row._replace(item_id="j")])
    with read(engine) as connection:
        assert exact(stored(connection)) == exact(joined_all(rows))
    assert [row.item_id for row in history.item_rows(engine, Selection(), changed=True)] == ["i", "j"]


def test_an_item_that_only_a_change_names_has_a_row(engine: Engine) -> None:
    with write(engine) as connection:
        upsert_items(connection, [changed("i", {"stock": 4}, {}, time=20)])
        found = stored(connection)
    assert (found.stock, found.title, found.available, of_entry(found)) == (4, "", True, None)


def stored(connection: Connection) -> ItemRow:
    columns = [items.c[name] for name in ItemRow._fields]
    return item_row(connection.execute(select(*columns).where(items.c.item_id == "i")).one())
