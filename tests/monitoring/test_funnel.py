"""The funnel of RetailRocket, view to cart to purchase, equals a recount in plain SQL that knows nothing of Sagestream.

Each view is served as a list of one item. The cart and the purchase belong to the person's last view of the item.
"""

import csv
import io
import sqlite3
from pathlib import Path

import pytest

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import open_engine, read, write
from graphstore.tables import EVENT_TYPES
from graphstore.upserts import ImpressionRow, insert_impressions
from monitoring.attribution import attribute
from monitoring.counts import count
from monitoring.robots import MOST_LISTS_OF_A_SHOPPER
from monitoring.windows import ALL, TimeWindow
from tests.databases import migrated_sqlite

EVENTS = Path(__file__).parents[2].parent / "shared" / "data" / "retailrocket" / "events.csv"
ROWS = 12_000
"""The first lines of the file: a few seconds, and thousands of shoppers."""
SAMPLE = """user,item,event,ts
1,10,view,1430623510
1,10,cart,1430623535
1,10,view,1430623600
1,10,buy,1430623700
1,11,buy,1430623800
2,10,cart,1430623900
2,10,view,1430623950
2,10,cart,1430710351
2,10,view,1430800000
2,10,buy,1431404800
2,10,cart,1430800001
2,10,cart,1430800002
"""
"""Beside a plain funnel: a purchase without a view, a cart before it, one a second too late, and one twice."""

RECOUNT = """
WITH hours AS (
    SELECT user, ts / 3600 AS hour FROM events WHERE event = 'view' GROUP BY user, ts / 3600 HAVING COUNT(*) > :most
), views AS (
    SELECT e.rowid AS id, e.* FROM events e WHERE event = 'view'
), found AS (
    SELECT e.event, (
        SELECT v.id FROM views v WHERE v.user = e.user AND v.item = e.item AND v.ts <= e.ts
            AND v.ts >= e.ts - CASE e.event WHEN 'buy' THEN 7 * 86400 ELSE 86400 END
        ORDER BY v.ts DESC, v.id LIMIT 1) AS view
    FROM events e WHERE e.event <> 'view'
)
SELECT (SELECT COUNT(*) FROM views v WHERE {people}),
       (SELECT COUNT(DISTINCT user) FROM views v WHERE {people}),
       (SELECT COUNT(DISTINCT f.view) FROM found f JOIN views v ON v.id = f.view WHERE f.event = 'cart' AND {people}),
       (SELECT COUNT(DISTINCT f.view) FROM found f JOIN views v ON v.id = f.view WHERE f.event = 'buy' AND {people}),
       (SELECT COUNT(DISTINCT f.view) FROM found f JOIN views v ON v.id = f.view WHERE {people})
""".replace("{people}", "(v.user, v.ts / 3600) NOT IN (SELECT user, hour FROM hours)")


def of_retailrocket():
    if not EVENTS.is_file():
        pytest.skip(f"there is no {EVENTS}: RetailRocket's events, beside the repository")
    with EVENTS.open() as file:
        return "".join(line for _, line in zip(range(ROWS + 1), file, strict=False))


@pytest.mark.parametrize("text", [lambda: SAMPLE, of_retailrocket], ids=["sample", "retailrocket"])
def test_the_funnel_equals_a_recount_in_plain_sql(text, tmp_path):
    rows = [(r["user"], r["item"], r["event"], int(r["ts"])) for r in csv.DictReader(io.StringIO(text()))]
    expected = recounted(rows)
    engine = open_engine(migrated_sqlite(tmp_path / "graph.db"))
    lists = [
        ImpressionRow(f"{n:09d}", 0, user, item, "page", 1000 * ts, "m", "v", 1.0, 1.0, "own")
        for n, (user, item, event, ts) in enumerate(rows)
        if event == "view"
    ]
    kinds = {"cart": EVENT_TYPES.index("cart"), "buy": EVENT_TYPES.index("purchase")}
    events = [
        InteractionRow(f"e{n}", kinds[event], user, item, 1000 * ts)
        for n, (user, item, event, ts) in enumerate(rows)
        if event != "view"
    ]
    with write(engine) as connection:
        insert_impressions(connection, lists)
        ingest_interactions(connection, events, now=1)
    attribute(engine)
    with read(engine) as connection:
        found = count(connection, TimeWindow(0, 2 * 10**12), segments=())[ALL]
    engine.dispose()
    assert (found.impressions, found.viewers, found.carts, found.purchases, found.clicks) == expected
    assert found.carts > 0
    assert found.purchases > 0


def recounted(rows):
    with sqlite3.connect(":memory:") as plain:
        plain.execute("CREATE TABLE events (user, item, event, ts INTEGER)")
        plain.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
        plain.execute("CREATE INDEX found ON events (user, item, event, ts)")
        return plain.execute(RECOUNT, {"most": MOST_LISTS_OF_A_SHOPPER}).fetchone()


def test_the_sample_by_hand():
    rows = [(r["user"], r["item"], r["event"], int(r["ts"])) for r in csv.DictReader(io.StringIO(SAMPLE))]
    assert recounted(rows) == (4, 2, 2, 2, 3)
