"""Promotions: the record of every change of the champion, and of the probation that follows a promotion.

Arrives: the changes that `training.lifecycle.registry` makes, and what `monitoring.probation` measured. Leaves: rows of
`promotions`. Next: `serving.routing_source` reads which shoppers stay with the previous champion; `history` shows it.

A row is written in the transaction that changes the champion, so the newest row always names the champion. The rows are
also the way back: see `way_back`.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, insert, select, update

from graphstore.tables import models, promotions

PROMOTE: Literal["promote"] = "promote"
ROLLBACK: Literal["rollback"] = "rollback"

PASSED = "passed"
"""The probation ended without harm."""
HARM = "harm"
"""The new champion was worse beyond chance, and was rolled back."""
EXPIRED = "expired"
"""The time was over before the traffic could show anything."""
SUPERSEDED = "superseded"
"""Another promotion or a rollback came first."""

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Change:
    """Why the champion changes. The defaults say that nobody told."""

    who: str = UNKNOWN
    """A run's id, `command line`, or `probation`."""
    why: str = ""
    probation_share: float = 0.0
    """The share of the shoppers who stay with the previous champion; 0: no probation."""
    probation_seconds: float = 0.0
    """The longest time of the probation."""
    detail: dict[str, Any] = field(default_factory=dict)


NOBODY = Change()


@dataclass(frozen=True)
class Promotion:
    """A row of `promotions`. Times are epoch ms."""

    promotion_key: int
    at: int
    action: str
    to_version: str
    from_version: str | None
    who: str
    why: str
    probation_share: float = 0.0
    probation_until: int | None = None
    ended_at: int | None = None
    outcome: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    """`plan` in words, and what the probation measured."""


def record(
    connection: Connection,
    action: Literal["promote", "rollback"],
    to_version: str,
    from_version: str | None,
    change: Change,
    *,
    now: int,
) -> None:
    """Insert a change of the champion. A probation that still runs ends as superseded.

    There is a probation only where a previous champion exists that may serve: it is neither banned nor pruned.
    """
    superseded = update(promotions).where(promotions.c.probation_until.is_not(None), promotions.c.ended_at.is_(None))
    connection.execute(superseded.values(ended_at=now, outcome=SUPERSEDED))
    watched = change.probation_share > 0 and from_version is not None and _may_serve(connection, from_version)
    connection.execute(
        insert(promotions).values(
            at=now,
            action=action,
            to_version=to_version,
            from_version=from_version,
            who=change.who,
            why=change.why,
            probation_share=change.probation_share if watched else 0.0,
            probation_until=now + round(change.probation_seconds * 1000) if watched else None,
            detail=json.dumps(change.detail if watched else {}),
        )
    )


def list_promotions(connection: Connection, *, newest: int | None = None) -> list[Promotion]:
    """Return the changes of the champion, newest first."""
    query = select(promotions).order_by(promotions.c.promotion_key.desc())
    return [_promotion(row) for row in connection.execute(query if newest is None else query.limit(newest))]


def running_probation(connection: Connection) -> Promotion | None:
    """Return the promotion whose probation has not ended, or None. At most one has not."""
    query = select(promotions).where(promotions.c.probation_until.is_not(None), promotions.c.ended_at.is_(None))
    row = connection.execute(query.order_by(promotions.c.promotion_key.desc()).limit(1)).one_or_none()
    return None if row is None else _promotion(row)


def note(connection: Connection, promotion_key: int, detail: dict[str, Any]) -> bool:
    """Store what a running probation has measured. Return False when it has ended meanwhile."""
    return _change_running(connection, promotion_key, detail=json.dumps(detail))


def end_probation(
    connection: Connection, promotion_key: int, outcome: str, detail: dict[str, Any], *, now: int
) -> bool:
    """End a running probation. Return False when it has ended meanwhile."""
    return _change_running(connection, promotion_key, detail=json.dumps(detail), outcome=outcome, ended_at=now)


def way_back(connection: Connection, current: str) -> list[str]:
    """Return the earlier champions that a rollback from `current` may go to, the next one first.

    The changes form a stack. A promotion puts a model on it. A rollback removes the model that it leaves, wherever it
    is on the stack, so a later rollback goes further back and never returns to it. Banned and pruned models are left
    out. (The champion's parent is no way back: it says from what a model learned, not what served before it.)
    """
    stack: list[str] = []
    for change in reversed(list_promotions(connection)):
        if change.action == ROLLBACK and change.from_version is not None:
            stack = [version for version in stack if version != change.from_version]
        stack.append(change.to_version)
    earlier = dict.fromkeys(version for version in reversed(stack) if version != current)
    return [version for version in earlier if _may_serve(connection, version)]


def _may_serve(connection: Connection, model_version: str) -> bool:
    usable = select(func.count()).where(
        models.c.model_version == model_version, models.c.banned_at.is_(None), models.c.pruned_at.is_(None)
    )
    return bool(connection.scalar(usable))


def _change_running(connection: Connection, promotion_key: int, **values: Any) -> bool:
    running = (promotions.c.promotion_key == promotion_key) & promotions.c.ended_at.is_(None)
    return connection.execute(update(promotions).where(running).values(**values)).rowcount == 1


def _promotion(row: Row[Any]) -> Promotion:
    return Promotion(**{**row._asdict(), "detail": json.loads(row.detail)})
