"""The store's laws: each event once, whatever the order, the batching and the repetition."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, select

from graphstore import queries
from graphstore.ingest import Ingested, InteractionRow, ingest_interactions, record_progress
from graphstore.item_fields import ItemRow
from graphstore.session import open_engine, read, write
from graphstore.state import raise_to
from graphstore.tables import (
    COMPACTION_HORIZON,
    COUNT_COLUMNS,
    HOUR_MS,
    edges,
    erasures,
    impressions,
    interactions,
    item_buckets,
    items,
    stream_progress,
    users,
)
from graphstore.upserts import ImpressionRow, UserRow, insert_impressions, upsert_items, upsert_users
from tests.databases import migrated_sqlite

NOW = 1_700_000_000_000


def event(name: str, user: str = "u", item: str = "i", time: int = NOW, kind: int = 3) -> InteractionRow:
    return InteractionRow(name, kind, user, item, time)


def ingest(engine: Engine, rows: Sequence[InteractionRow]) -> Ingested:
    with write(engine) as connection:
        return ingest_interactions(connection, rows, now=NOW)


def graph(engine: Engine) -> dict[str, set[tuple[Any, ...]]]:
    """The content of the graph by external ids, as a set: keys may depend on the order, nothing else may."""
    counted = [edges.c[name] for name in COUNT_COLUMNS]
    bucketed = [item_buckets.c[name] for name in COUNT_COLUMNS]
    queries_ = {
        "edges": select(users.c.user_id, items.c.item_id, *counted, edges.c.first_time, edges.c.last_time)
        .join_from(edges, users, users.c.user_key == edges.c.user_key)
        .join(items, items.c.item_key == edges.c.item_key),
        "buckets": select(item_buckets.c.hour, items.c.item_id, *bucketed).join_from(
            item_buckets, items, items.c.item_key == item_buckets.c.item_key
        ),
        "interactions": select(interactions.c.event_id, interactions.c.event_time, interactions.c.event_type),
    }
    with read(engine) as connection:
        return {name: {tuple(row) for row in connection.execute(query)} for name, query in queries_.items()}


def test_a_batch_becomes_rows_edges_and_buckets(engine: Engine) -> None:
    rows = [
        event("a", "u1", "i1", NOW, kind=0),
        event("b", "u1", "i1", NOW - HOUR_MS, kind=3),
        event("c", "u1", "i2", NOW + 5, kind=3),
        event("d", "u2", "i1", NOW, kind=4),
    ]
    assert ingest(engine, rows) == Ingested(stored=4, duplicate=0, new_users=frozenset({"u1", "u2"}))
    found = graph(engine)
    assert found["edges"] == {
        ("u1", "i1", 1, 0, 0, 1, 0, 0, 0, NOW - HOUR_MS, NOW),
        ("u1", "i2", 0, 0, 0, 1, 0, 0, 0, NOW + 5, NOW + 5),
        ("u2", "i1", 0, 0, 0, 0, 1, 0, 0, NOW, NOW),
    }
    assert found["buckets"] == {
        (NOW // HOUR_MS, "i1", 1, 0, 0, 0, 1, 0, 0),
        (NOW // HOUR_MS - 1, "i1", 0, 0, 0, 1, 0, 0, 0),
        (NOW // HOUR_MS, "i2", 0, 0, 0, 1, 0, 0, 0),
    }


def test_the_same_id_counts_once_within_and_across_batches(engine: Engine) -> None:
    assert ingest(engine, [event("a"), event("a"), event("b")]) == Ingested(2, 1, new_users=frozenset({"u"}))
    assert ingest(engine, [event("b"), event("c")]) == Ingested(1, 1)
    assert ingest(engine, []) == Ingested(0, 0)
    assert graph(engine)["edges"] == {("u", "i", 0, 0, 0, 3, 0, 0, 0, NOW, NOW)}


def test_a_rolled_back_batch_leaves_nothing(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match="killed"), write(engine) as connection:
        ingest_interactions(connection, [event("a")], now=NOW)
        raise RuntimeError("killed")
    assert graph(engine) == {"edges": set(), "buckets": set(), "interactions": set()}
    assert ingest(engine, [event("a")]) == Ingested(1, 0, new_users=frozenset({"u"}))


events = st.lists(
    st.builds(
        event,
        st.sampled_from([f"e{i}" for i in range(12)]),
        st.sampled_from(["u1", "u2"]),
        st.sampled_from(["i1", "i2", "i3"]),
        st.integers(NOW - 3 * HOUR_MS, NOW),
        st.integers(0, 6),
    ),
    unique_by=lambda row: row.event_id,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=events, seed=st.integers(0, 2**16))
def test_order_batching_and_repetition_change_nothing(
    rows: list[InteractionRow], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = random.Random(seed)
    shuffled = rows + rng.sample(rows, k=len(rows) // 2)
    rng.shuffle(shuffled)
    cuts = sorted(rng.choices(range(len(shuffled) + 1), k=3))
    batches = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    results = []
    for order in ([rows], batches):
        engine = open_engine(migrated_sqlite(tmp_path_factory.mktemp("law") / "graph.db"))
        stored = sum(ingest(engine, batch).stored for batch in order)
        assert stored == len(rows)
        results.append(graph(engine))
        engine.dispose()
    assert results[0] == results[1]


def test_the_newest_catalogue_row_wins_in_any_order(engine: Engine) -> None:
    old = ItemRow("i", "Old", ["a"], "", 1.0, True, updated_at=10)
    new = ItemRow("i", "New", ["a", "b"], "Brand", 2.5, False, updated_at=20)
    for batch in ([new], [old], [old, new], [new, old]):
        with write(engine) as connection:
            upsert_items(connection, batch)
        with read(engine) as connection:
            (item,) = queries.all_items(connection)
        assert (item.title, item.categories, item.brand, item.price, item.available) == (
            "New", ["a", "b"], "Brand", 2.5, False,
        )  # fmt: skip


def test_a_catalogue_row_names_an_item_that_events_brought_first(engine: Engine) -> None:
    ingest(engine, [event("a", item="i")])
    with write(engine) as connection:
        upsert_items(connection, [ItemRow("i", "Tea", [], "", None, True, updated_at=5)])
        (item,) = queries.items_by_id(connection, ["i"])
    assert item.title == "Tea"
    assert graph(engine)["edges"] == {("u", "i", 0, 0, 0, 1, 0, 0, 0, NOW, NOW)}


def test_impressions_are_kept_once(engine: Engine) -> None:
    row = ImpressionRow("r", 0, "u", "i", "home", NOW, "m1", "champion", 0.5, 1.0, "batch")
    for batch in ([row, row._replace(position=1)], [row._replace(item_id="other")]):
        with write(engine) as connection:
            insert_impressions(connection, batch)
    with read(engine) as connection:
        found = connection.execute(select(impressions.c.position, impressions.c.item_id)).all()
    assert sorted(map(tuple, found)) == [(0, "i"), (1, "i")]


def test_progress_never_moves_back(engine: Engine) -> None:
    for offsets in ({0: 10, 1: 5}, {0: 7}, {1: 6}):
        with write(engine) as connection:
            record_progress(connection, "interactions", offsets, now=NOW)
    with read(engine) as connection:
        query = select(stream_progress.c.partition, stream_progress.c.next_offset)
        assert {tuple(row) for row in connection.execute(query)} == {(0, 10), (1, 6)}


def test_of_two_entries_with_one_time_the_greater_value_of_each_field_wins_in_any_order(engine: Engine) -> None:
    rows = [
        ItemRow("i", "Tea", ["a"], "", None, True, updated_at=10),
        ItemRow("i", "Tea", ["a"], "", 2.0, True, updated_at=10),
        ItemRow("i", "", [], "", None, False, updated_at=10),
    ]
    for order in itertools.permutations(rows):
        with write(engine) as connection:
            connection.execute(delete(items))
            for row in order:
                upsert_items(connection, [row])
            (found,) = queries.all_items(connection)
        assert (found.title, found.price, found.available) == ("Tea", 2.0, False)


def test_users_attributes_are_replaced_by_the_newest(engine: Engine) -> None:
    rows = [UserRow("u", {"city": "Köln", "age": 40}, 10), UserRow("u", {}, 20), UserRow("v", {"b": 1, "a": True}, 5)]
    for order in itertools.permutations(rows):
        with write(engine) as connection:
            connection.execute(delete(users))
            upsert_users(connection, order)
            found = connection.execute(select(users.c.user_id, users.c.attributes, users.c.updated_at)).all()
        assert sorted(map(tuple, found)) == [("u", "{}", 20), ("v", '{"a": true, "b": 1}', 5)]


def test_a_forgotten_user_stays_forgotten(engine: Engine) -> None:
    with write(engine) as connection:
        connection.execute(insert(erasures).values(user_id="gone", requested_at=NOW))
    done = ingest(engine, [event("a", user="gone"), event("b"), event("b")])
    assert (done.stored, done.duplicate, done.erased, done.erased_users) == (1, 1, 1, {"gone"})
    shown = ImpressionRow("r", 0, "gone", "i", "home", NOW, "m1", "champion", 0.5, 1.0, "batch")
    with write(engine) as connection:
        upsert_users(connection, [UserRow("gone", {"a": 1}, NOW)])
        insert_impressions(connection, [shown])
        assert [name for _, name in queries.all_users(connection)] == ["u"]
        assert connection.execute(select(impressions)).all() == []


def test_behind_the_horizon_a_duplicate_is_known_and_a_late_event_refused(engine: Engine) -> None:
    ingest(engine, [event("old", time=NOW - 10)])
    with write(engine) as connection:
        raise_to(connection, COMPACTION_HORIZON, NOW)
    done = ingest(engine, [event("old", time=NOW - 10), event("late", time=NOW - 5), event("new", time=NOW)])
    assert (done.stored, done.duplicate, done.late) == (1, 1, frozenset({"late"}))


def test_a_take_back_counts_and_weighs_nothing_itself(engine: Engine) -> None:
    ingest(engine, [event("a"), event("b", kind=5), event("c", user="v"), event("d", user="v", item="j", kind=0)])
    assert ("u", "i", 0, 0, 0, 1, 0, 1, 0, NOW, NOW) in graph(engine)["edges"]
    with read(engine) as connection:
        assert queries.user_history(connection, "u", 10) == []
        assert queries.trending(connection, since_ms=0, limit=5) == [("i", 1), ("j", 1)]
