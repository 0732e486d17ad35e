"""Attribution: find the served list, and the position in it, that led to an interaction.

Arrives: `interactions` with a request_id, `impressions`. Leaves: `attributions`, one row for each event that matches.
Next: `ctr` counts them.

The shop names the list; nothing is guessed. An interaction counts for a list only if it has the request_id of this list
and the list holds its item. Both arrive on separate topics, in any order. So every pass looks again for events of the
look-back that have no match yet.
"""

from sqlalchemy import Connection, text

from graphstore.batch import lock_writers

# An item may have two positions in one list: the position that the shop names wins, else the first.
# MATERIALIZED, because otherwise SQLite scans all interactions by event_id to avoid the grouping.
_ATTRIBUTE = text("""
INSERT INTO attributions (event_id, request_id, position, event_type, event_time)
WITH c AS MATERIALIZED (
    SELECT event_id, request_id, position, event_type, event_time, item_key FROM interactions
    WHERE request_id IS NOT NULL AND ingest_time >= :oldest
)
SELECT c.event_id, c.request_id,
       COALESCE(MIN(CASE WHEN m.position = c.position THEN m.position END), MIN(m.position)),
       c.event_type, c.event_time
FROM c
JOIN items i ON i.item_key = c.item_key
JOIN impressions m ON m.request_id = c.request_id AND m.item_id = i.item_id
WHERE NOT EXISTS (SELECT 1 FROM attributions a WHERE a.event_id = c.event_id)
GROUP BY c.event_id, c.request_id, c.event_type, c.event_time
ORDER BY c.event_id
ON CONFLICT (event_id) DO NOTHING
""")


def attribute(connection: Connection, *, now: int, lookback_seconds: float) -> int:
    """Match the events of the look-back before `now` (epoch ms) with their lists; return the number of matches.

    Idempotent: an event is attributed once, and a second pass over the same rows adds nothing. The look-back uses
    `ingest_time`, not `event_time`, so that replayed history is matched too. The caller owns the transaction.
    """
    lock_writers(connection, shared=True)  # otherwise an erasure could miss a match made at the same time
    oldest = now - round(lookback_seconds * 1000)
    return connection.execute(_ATTRIBUTE, {"oldest": oldest}).rowcount
