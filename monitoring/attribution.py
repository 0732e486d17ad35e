"""Attribution: which served list, and which place in it, an interaction came from.

Arrives: `interactions` with a request_id, `impressions`. Leaves: `attributions`, one row for each event that matches.
Next: `ctr` counts them.

Credit goes by the list that the shop names, never by guessing: an interaction counts for a list only where it carries
that list's request_id and its item stood in it. Both arrive on topics of their own, in any order, so every pass looks
again at what came in during the look-back and has no match yet.
"""

from sqlalchemy import Connection, text

from graphstore.batch import lock_writers

# An item may stand at two places of one list: the place that the shop names wins, else the first.
# Materialised: else SQLite walks all interactions by event_id to spare itself the grouping.
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
    """Match what arrived within the look-back before `now` (epoch ms); how many events found their list.

    Idempotent: an event is attributed once, a second pass over the same rows adds nothing. Arrival is `ingest_time`,
    not `event_time`: replayed history is as new as anything else that comes in. The caller owns the transaction.
    """
    lock_writers(connection, shared=True)  # else an erasure could miss what is matched meanwhile
    oldest = now - round(lookback_seconds * 1000)
    return connection.execute(_ATTRIBUTE, {"oldest": oldest}).rowcount
