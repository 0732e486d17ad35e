"""Origin: where one shown list came from.

Arrives: the request id of a list. Leaves: the model, its run, snapshot and verdict, the promotion that put it into
service, the experiment, and the items with their clicks. Next: `sagestream why` prints it.

The SQL view `list_origins` has the same row for every list, for a shop's own queries. A promotion is the last one of
the model before the list was shown. A list of the previous champion (variant `previous`) therefore names the promotion
of that older model.
"""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, text

from graphstore.errors import UserError
from graphstore.retention import IMPRESSION_DAYS
from graphstore.tables import EVENT_TYPES, attributions, impressions, retrain_requests

_ORIGIN = text("SELECT * FROM list_origins WHERE request_id = :request_id")


class UnknownList(UserError):
    """No stored list has this request id."""


@dataclass(frozen=True)
class ShownItem:
    """An item of the list, and the types of the events that it led to."""

    position: int
    item_id: str
    score: float
    propensity: float
    source: str
    led_to: list[str]


@dataclass(frozen=True)
class ListOrigin:
    """The origin of a list. Times are epoch ms. A value is None when it is not known or does not exist."""

    request_id: str
    user_id: str
    slot: str
    shown_at: int
    variant: str
    model_version: str
    kind: str | None
    parent: str | None
    anchor: str | None
    settings_hash: str | None
    code_version: str | None
    verdict: str | None
    reasons: list[str]
    snapshot_id: str | None
    snapshot_as_of: int | None
    run_id: str | None
    trigger: str | None
    """Who or what asked for the run."""
    run_started_at: int | None
    run_finished_at: int | None
    requests: list[str]
    """The retrain requests that the run answered."""
    promoted_at: int | None
    promotion_action: str | None
    promoted_by: str | None
    promoted_because: str | None
    experiment: str | None
    experiment_because: str | None
    items: list[ShownItem]


def origin(connection: Connection, request_id: str) -> ListOrigin:
    """Return the origin of a list. Raises `UnknownList`."""
    row = connection.execute(_ORIGIN, {"request_id": request_id}).one_or_none()
    if row is None:
        raise UnknownList(
            f"no list {request_id!r}: only lists that were shown in a slot are stored, some seconds later, "
            f"for {IMPRESSION_DAYS} days"
        )
    gate: dict[str, Any] = json.loads(row.gate) if row.gate else {}
    return ListOrigin(
        request_id=row.request_id,
        user_id=row.user_id,
        slot=row.slot,
        shown_at=row.event_time,
        variant=row.variant,
        model_version=row.model_version,
        kind=row.kind,
        parent=row.parent_version,
        anchor=row.anchor_version,
        settings_hash=row.settings_hash,
        code_version=row.code_version,
        verdict=gate.get("verdict"),
        reasons=list(gate.get("reasons", [])),
        snapshot_id=row.snapshot_id,
        snapshot_as_of=row.snapshot_as_of,
        run_id=row.run_id,
        trigger=row.trigger,
        run_started_at=row.run_started_at,
        run_finished_at=row.run_finished_at,
        requests=_requests(connection, row.run_id),
        promoted_at=row.promoted_at,
        promotion_action=row.promotion_action,
        promoted_by=row.promoted_by,
        promoted_because=row.promoted_because,
        experiment=row.experiment,
        experiment_because=row.experiment_because,
        items=_items(connection, request_id),
    )


def _requests(connection: Connection, run_id: str | None) -> list[str]:
    if run_id is None:
        return []
    query = select(retrain_requests).where(retrain_requests.c.run_id == run_id)
    return [f"{row.requested_by}: {row.reason}" for row in connection.execute(query)]


def _items(connection: Connection, request_id: str) -> list[ShownItem]:
    led_to: dict[int, list[str]] = {}
    found = select(attributions.c.position, attributions.c.event_type).where(attributions.c.request_id == request_id)
    for position, event_type in connection.execute(found.order_by(attributions.c.event_time)):
        led_to.setdefault(position, []).append(EVENT_TYPES[event_type])
    rows: list[Row[Any]] = list(
        connection.execute(
            select(impressions).where(impressions.c.request_id == request_id).order_by(impressions.c.position)
        )
    )
    return [
        ShownItem(row.position, row.item_id, row.score, row.propensity, row.source, led_to.get(row.position, []))
        for row in rows
    ]
