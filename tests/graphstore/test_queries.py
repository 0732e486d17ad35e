"""Reads of the graph on both databases."""

from sqlalchemy import Engine

from graphstore import queries
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.item_fields import ItemRow
from graphstore.session import read, write
from graphstore.tables import HOUR_MS
from graphstore.upserts import upsert_items

NOW = 1_700_000_000_000


def fill(engine: Engine) -> None:
    rows = [
        InteractionRow("1", 3, "u1", "a", NOW),
        InteractionRow("2", 0, "u1", "b", NOW - 10),
        InteractionRow("3", 3, "u1", "a", NOW - 20),
        InteractionRow("4", 3, "u2", "b", NOW - 30 * HOUR_MS),
        InteractionRow("5", 3, "u2", "gone", NOW),
    ]
    with write(engine) as connection:
        ingest_interactions(connection, rows, now=NOW)
        upsert_items(connection, [ItemRow("gone", "", [], "", None, False, updated_at=NOW)])


def test_histories_are_the_newest_oldest_first(engine: Engine) -> None:
    fill(engine)
    with read(engine) as connection:
        keys = {item.item_id: item.item_key for item in queries.all_items(connection)}
        assert queries.user_history(connection, "u1", 10) == [
            (keys["a"], NOW - 20, 3),
            (keys["b"], NOW - 10, 0),
            (keys["a"], NOW, 3),
        ]
        assert queries.user_history(connection, "u1", 2)[0] == (keys["b"], NOW - 10, 0)
        assert queries.user_history(connection, "nobody", 2) == []
        found = queries.user_keys(connection, ["u1", "nobody"])
        assert list(found) == ["u1"]
        assert [name for _, name in queries.all_users(connection)] == ["u1", "u2"]


def test_trending_counts_the_window_and_leaves_out_what_is_gone(engine: Engine) -> None:
    fill(engine)
    with read(engine) as connection:
        assert queries.trending(connection, since_ms=NOW - HOUR_MS, limit=5) == [("a", 2), ("b", 1)]
        assert queries.trending(connection, since_ms=NOW - 48 * HOUR_MS, limit=1) == [("a", 2)]


def test_bucket_counts_are_arrays_by_hour(engine: Engine) -> None:
    fill(engine)
    with read(engine) as connection:
        hours, item_keys, counts = queries.item_bucket_counts(connection, 0)
        assert counts.sum() == 5
        assert sorted(set(hours.tolist())) == [(NOW - 30 * HOUR_MS) // HOUR_MS, NOW // HOUR_MS]
        recent = queries.item_bucket_counts(connection, NOW)
    assert len(hours) == len(item_keys) == len(counts)
    assert recent[2].sum() == 4


def test_counts(engine: Engine) -> None:
    fill(engine)
    with read(engine) as connection:
        assert queries.counts(connection) == {"users": 2, "items": 3, "edges": 4, "interactions": 5}
