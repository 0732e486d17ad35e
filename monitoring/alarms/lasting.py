"""Lasting alarms: the rows of `alarms`. Each trouble starts once and ends once, however often it is seen.

Arrives: what is wrong at this moment, by name. Leaves: a row for each trouble, with its start, and its end when it is
over; a line in the log and a gauge for both. Next: `monitoring.alarms.sender` delivers changed rows to the webhook.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, or_, select, text, update

from graphstore.tables import alarms
from monitoring import metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What is wrong, in words and in figures that JSON can hold."""

    text: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Alarm:
    """A row of `alarms`. Times are epoch ms; `ended_at` is None while it lasts."""

    alarm_key: int
    name: str
    started_at: int
    ended_at: int | None
    text: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 0

    @property
    def changed_at(self) -> int:
        """When it last changed: its end, else its start."""
        return self.started_at if self.ended_at is None else self.ended_at


# Two monitors may find the same trouble at once: the second insert does nothing.
_INSERT = text("""
INSERT INTO alarms (name, started_at, text, figures) VALUES (:name, :now, :text, :figures)
ON CONFLICT (name) WHERE ended_at IS NULL DO NOTHING
""")


def settle(connection: Connection, found: Mapping[str, Found | None], *, now: int) -> None:
    """Start the alarm of each trouble that is new, and end the alarm of each that is over (None).

    The caller owns the transaction. `now` is epoch ms.
    """
    known = lasting(connection)
    for name, trouble in found.items():
        if trouble is not None and name not in known:
            _begin(connection, name, trouble, now=now)
        elif trouble is None and name in known:
            _end(connection, known[name], now=now)


def lasting(connection: Connection) -> dict[str, Alarm]:
    """Return the alarms that last, by name."""
    rows = connection.execute(select(alarms).where(alarms.c.ended_at.is_(None)))
    return {row.name: alarm_of(row) for row in rows}


def list_alarms(connection: Connection, name: str, *, since: int) -> list[Alarm]:
    """Return the alarms of a name that last or have ended at or after `since` (epoch ms), oldest first."""
    recent = or_(alarms.c.ended_at.is_(None), alarms.c.ended_at >= since)
    rows = connection.execute(select(alarms).where(alarms.c.name == name, recent).order_by(alarms.c.alarm_key))
    return [alarm_of(row) for row in rows]


def alarm_of(row: Row[Any]) -> Alarm:
    """Return the alarm of a row of `alarms`."""
    figures = json.loads(row.figures)
    return Alarm(row.alarm_key, row.name, row.started_at, row.ended_at, row.text, figures, row.attempts)


def _begin(connection: Connection, name: str, trouble: Found, *, now: int) -> None:
    values = {"name": name, "now": now, "text": trouble.text, "figures": json.dumps(dict(trouble.figures))}
    if connection.execute(_INSERT, values).rowcount == 1:
        metrics.ALARMS.labels(name).inc()
        logger.warning("alarm %s: %s", name, trouble.text)


def _end(connection: Connection, alarm: Alarm, *, now: int) -> None:
    """End the alarm. What was not delivered yet is delivered as an alarm that is over."""
    still = (alarms.c.alarm_key == alarm.alarm_key) & alarms.c.ended_at.is_(None)
    ended = update(alarms).where(still).values(ended_at=max(now, alarm.started_at), delivered_at=None, attempts=0)
    if connection.execute(ended).rowcount == 1:
        logger.info("alarm %s is over, it began with: %s", alarm.name, alarm.text)
