"""Impressions: logs each list that was served for a slot, so that clicks can be compared with it.

Arrives: a `Recommendation` for a slot, and its reader. Leaves: an event on `impressions`, through the outbox.
Next: `stream.worker.app` stores it, `monitoring` joins clicks to it by request_id.
"""

from datetime import datetime

from serving.recommend import Recommendation
from serving.web.outbox import Outbox, count, letter_of
from serving.web.readers import SHOP, Reader
from stream.events import IMPRESSIONS, Impression, ImpressionItem


def impression(served: Recommendation, slot: str, *, now: datetime, reader: Reader = SHOP) -> Impression:
    """Return the event for one served list. Without a reader, it is the shop itself, which shows the list."""
    return Impression(
        event_time=now,
        request_id=served.request_id,
        user_id=served.user_id,
        slot=slot,
        model_version=served.model_version,
        variant=served.variant,
        items=[
            ImpressionItem(
                item_id=item.item_id,
                position=item.position,
                score=item.score,
                propensity=item.propensity,
                source=item.source,
            )
            for item in served.items
        ],
        confirmed=reader.confirmed,
        robot=reader.robot,
        client=reader.client,
    )


def log(
    outbox: Outbox, served: Recommendation, slot: str, *, now: datetime, reader: Reader, allowed: bool = True
) -> bool:
    """Put the impression into the queue. A full queue counts it as refused and returns False, so serving continues.

    One that is not `allowed`, because too many were logged, is counted as limited.
    """
    if not allowed:
        count(IMPRESSIONS, "limited")
        return False
    return outbox.offer(letter_of(impression(served, slot, now=now, reader=reader)))
