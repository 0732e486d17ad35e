"""What is known of a shopper, as JSON: everything, bounded, and of nobody else."""

import json
from typing import Any

from sqlalchemy import Engine, insert

from graphstore.erase import erase_person
from graphstore.identities import IdentityRow, ingest_identities
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.item_fields import ItemRow
from graphstore.person_export import ENVELOPE_BYTES, export_person
from graphstore.session import write
from graphstore.tables import attributions, metadata, seen_items
from graphstore.upserts import ImpressionRow, UserRow, insert_impressions, upsert_items, upsert_users

NOT_EXPORTED = {"dirty_shoppers", "stale_people"}
"""Marks of work to do on a shopper's rows; they say nothing more of the shopper."""


def fill(engine: Engine, events: int = 3) -> None:
    with write(engine) as connection:
        upsert_items(connection, [ItemRow("i1", "A hat", [], "", 9.5, True, 1)])
        upsert_users(connection, [UserRow("anna", {"city": "Köln"}, 5)])
        for user in ("anna", "session", "bert"):
            rows = [InteractionRow(f"{user}-{n}", 3, user, "i1", 10 + n, value=2.0) for n in range(events)]
            ingest_interactions(connection, rows, now=20)
            lists = [ImpressionRow(f"r-{user}", 0, user, "i1", "home", 9, "m", "v", 1.0, 1.0, "model")]
            insert_impressions(connection, lists)
            connection.execute(
                insert(seen_items).values(request_id=f"r-{user}", position=0, user_id=user, event_time=9)
            )
            connection.execute(
                insert(attributions).values(
                    event_id=f"{user}-0", request_id=f"r-{user}", position=0, event_type=3, event_time=10
                )
            )
        ingest_identities(connection, [IdentityRow("session", "anna", 11)])


def exported(engine: Engine, user_id: str, max_bytes: int = 1_000_000) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(export_person(engine, user_id, max_bytes=max_bytes).content)
    return found


def test_all_rows_of_a_person_and_of_nobody_else(engine: Engine) -> None:
    fill(engine)
    for user_id in ("anna", "session"):
        found = exported(engine, user_id)
        assert found["ids"] == ["anna", "session"] and found["left_out"] == {}
        assert "bert" not in json.dumps(found)
        assert [(row["user_id"], row.get("person"), row["attributes"]) for row in found["users"]] == [
            ("anna", None, {"city": "Köln"}),
            ("session", "anna", {}),
        ]
        assert len(found["interactions"]) == 6
        newest = found["interactions"][0]
        assert (newest["event_time"], newest["event_type"], newest["item_id"], newest["title"], newest["value"]) == (
            12, "purchase", "i1", "A hat", 2.0,
        )  # fmt: skip
        assert "user_key" not in newest
        assert {row["request_id"] for row in found["impressions"]} == {"r-anna", "r-session"}
        assert {row["event_id"] for row in found["attributions"]} == {"anna-0", "session-0"}
        assert len(found["seen_items"]) == 2
        assert [row["anonymous_id"] for row in found["identities"]] == ["session"]
        assert sum(row["purchases"] for row in found["edges"]) == 6


def test_what_does_not_fit_is_counted_and_the_bound_holds(sqlite_engine: Engine) -> None:
    fill(sqlite_engine, events=500)
    bound = ENVELOPE_BYTES + 20_000
    found = export_person(sqlite_engine, "anna", max_bytes=bound)
    assert len(found.content) <= bound
    told = json.loads(found.content)
    assert told["left_out"] == found.left_out
    assert len(told["interactions"]) + found.left_out["interactions"] == 1_000
    assert told["interactions"][0]["event_time"] == 509, "the newest stay"
    whole = export_person(sqlite_engine, "anna", max_bytes=10**7)
    assert whole.left_out == {} and whole.rows > 1_000


def test_who_is_not_known_has_nothing_and_who_was_forgotten_has_a_tombstone(engine: Engine) -> None:
    fill(engine)
    assert not export_person(engine, "nobody", max_bytes=10_000).known
    erase_person(engine, "anna", now=50)
    found = exported(engine, "anna")
    assert {row["user_id"] for row in found["erasures"]} == {"anna"}
    assert not any(
        found[name] for name in ("users", "interactions", "impressions", "seen_items", "attributions", "edges")
    )


def test_every_table_that_names_a_shopper_is_exported(sqlite_engine: Engine) -> None:
    naming = {
        table.name
        for table in metadata.tables.values()
        if {"user_id", "user_key", "anonymous_id"} & set(table.columns.keys())
    }
    told = exported(sqlite_engine, "anna")
    assert naming - NOT_EXPORTED <= told.keys()
    assert told.keys() - naming == {"ids", "left_out", "attributions"}
