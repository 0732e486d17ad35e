"""Triggers: decide when the figures require a new model.

Arrives: a drift verdict, the CTR windows. Leaves: at most one row in `retrain_requests`. Next:
`training.lifecycle.scheduler` takes the request. The new model must still pass the gate, so a false alarm costs only
one training.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from graphstore.tables import retrain_requests
from monitoring import ctr
from monitoring.verdict import DriftResult
from monitoring.windows import read_figures
from training.lifecycle.registry import WAITING, request_retrain

logger = logging.getLogger(__name__)

REQUESTED_BY = "monitoring"
REFERENCE_WINDOWS = 24
"""The number of settled CTR windows, pooled, to compare with the newest settled window: 24 hours make a day."""


@dataclass(frozen=True)
class Reason:
    """A reason for a retrain, in words and in figures that JSON can hold."""

    text: str
    figures: dict[str, Any] = field(default_factory=dict)


def drift_reason(result: DriftResult | None) -> Reason | None:
    """Return the reason for a retrain in this verdict, or None. Too little data is no reason."""
    if result is None or result.verdict != "drift":
        return None
    figures = {"share": result.share, "psi": result.scores, "drifted": result.drifted}
    return Reason(f"drift: {result.reason}", {"drift": figures})


def ctr_reason(
    connection: Connection,
    *,
    now: int,
    window_seconds: int,
    min_impressions: int,
    open_windows: int = ctr.OPEN_WINDOWS,
    reference_windows: int = REFERENCE_WINDOWS,
) -> Reason | None:
    """Return the reason for a retrain in the click-through rate, or None.

    The rate has fallen if the newest settled window's interval ends below the interval of the pooled windows before it.
    Two 95 % intervals seldom miss each other by chance. Only settled windows, which are not counted again, are
    compared, because a newer window still lacks its late clicks. A window that began before the newest request is no
    reason again: its lists came from the model that this request replaces.

    Args:
        connection: the database with `metric_windows`.
        now: the current time, epoch ms.
        window_seconds: the length of a CTR window.
        min_impressions: the impressions that both sides need; with fewer there is no reason.
        open_windows: the number of newest windows that are not settled yet.
        reference_windows: the number of windows that are pooled as the reference.
    """
    width = window_seconds * 1000
    settled = (now // width - open_windows + 1) * width
    figures = read_figures(connection, ctr.METRIC, until=settled, limit=reference_windows + 1)
    oldest = settled - (reference_windows + 1) * width
    figures = [f for f in figures if f.window.start >= oldest and f.window.end - f.window.start == width]
    if not figures or figures[0].window.end != settled:
        return None
    asked_at = connection.scalar(select(func.max(retrain_requests.c.requested_at)))
    if asked_at is not None and figures[0].window.start < asked_at:
        return None
    counts = [(int(f.detail["impressions"]), int(f.detail["clicks"])) for f in figures]
    current = ctr.CtrFigure.of(*counts[0])
    reference = ctr.CtrFigure.of(sum(c[0] for c in counts[1:]), sum(c[1] for c in counts[1:]))
    if min(current.impressions, reference.impressions) < min_impressions:
        return None
    if current.high is None or reference.low is None or current.high >= reference.low:
        return None
    return Reason(
        f"ctr: {current.value:.4f} of {current.impressions} impressions (at most {current.high:.4f}), "
        f"before it {reference.value:.4f} of {reference.impressions} (at least {reference.low:.4f})",
        {"ctr": {"current": asdict(current), "reference": asdict(reference)}},
    )


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
