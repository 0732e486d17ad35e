"""Ask: one retrain request for all reasons together.

Arrives: reasons. Leaves: at most one row in `retrain_requests`. Next: `training.lifecycle.scheduler` takes the request.
The new model must still pass the gate, so a false alarm costs only one training.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from graphstore.tables import retrain_requests
from training.lifecycle.registry import WAITING, request_retrain

logger = logging.getLogger(__name__)

REQUESTED_BY = "monitoring"


@dataclass(frozen=True)
class Reason:
    """A reason for a retrain, in words and in figures that JSON can hold."""

    text: str
    figures: dict[str, Any] = field(default_factory=dict)


def request(connection: Connection, reasons: Sequence[Reason], *, now: int, cooldown_seconds: float) -> bool:
    """Request one retrain for all reasons together, with their figures; return whether it was requested.

    There is no new request while any request waits or is younger than the cooldown, because its model already learns
    from the same traffic. `now` is epoch ms. The caller owns the transaction.
    """
    if not reasons:
        return False
    text = "; ".join(reason.text for reason in reasons)
    waiting = select(func.count()).where(retrain_requests.c.status == WAITING)
    newest = connection.scalar(select(func.max(retrain_requests.c.requested_at)))
    if connection.scalar(waiting) or (newest is not None and now - newest < cooldown_seconds * 1000):
        logger.debug("no retrain request, one was made lately: %s", text)
        return False
    figures = {name: value for reason in reasons for name, value in reason.figures.items()}
    request_retrain(connection, reason=text, requested_by=REQUESTED_BY, now=now, figures=figures)
    logger.info("retrain requested: %s", text)
    return True
