"""Marks: what happened to the shop's lists, drawn across charts over time.

Arrives: `promotions`, `experiments`, `alarms`, `retrain_requests`. Leaves: `Mark` values, oldest first. Next: charts.
"""

from sqlalchemy import Connection, select

from graphstore.tables import alarms, experiments, promotions, retrain_requests
from monitoring.dashboard.wording import short
from serving.dashboard.blocks import Mark, MarkKind

MAX_MARKS = 40
"""The newest marks of each kind: more could not be told apart."""

LABEL_CHARACTERS = 120


def read_marks(connection: Connection, *, since: int, requests: bool = False) -> list[Mark]:
    """Return what happened from `since` (epoch ms) on: promotions, rollbacks, experiments, alarms.

    `requests` adds the requests for a retrain, which are too many for a chart of years.
    """
    found = [*_changes(connection, since), *_experiments(connection, since), *_alarms(connection, since)]
    if requests:
        found += _requests(connection, since)
    return sorted(found, key=lambda mark: (mark.at, mark.kind, mark.label))


def _mark(at: int, kind: MarkKind, label: str) -> Mark:
    return Mark(at=at, kind=kind, label=short(label, LABEL_CHARACTERS))


def _changes(connection: Connection, since: int) -> list[Mark]:
    columns = (promotions.c.at, promotions.c.action, promotions.c.to_version)
    query = select(*columns).where(promotions.c.at >= since)
    rows = connection.execute(query.order_by(promotions.c.promotion_key.desc()).limit(MAX_MARKS))
    return [
        _mark(at, "rollback" if action == "rollback" else "promotion", f"{action} {version}")
        for at, action, version in rows
    ]


def _experiments(connection: Connection, since: int) -> list[Mark]:
    table = experiments.c
    rows = connection.execute(select(table.name, table.started_at, table.stopped_at).order_by(table.started_at.desc()))
    ends = [(at, f"{name} {word}") for name, *times in rows for at, word in zip(times, ("starts", "ends"), strict=True)]
    newest = sorted(((at, said) for at, said in ends if at is not None and at >= since), reverse=True)[:MAX_MARKS]
    return [_mark(at, "experiment", said) for at, said in newest]


def _alarms(connection: Connection, since: int) -> list[Mark]:
    query = select(alarms.c.started_at, alarms.c.name, alarms.c.text).where(alarms.c.started_at >= since)
    rows = connection.execute(query.order_by(alarms.c.alarm_key.desc()).limit(MAX_MARKS))
    return [_mark(at, "alarm", f"{name}: {said}") for at, name, said in rows]


def _requests(connection: Connection, since: int) -> list[Mark]:
    table = retrain_requests.c
    query = select(table.requested_at, table.requested_by, table.reason).where(table.requested_at >= since)
    rows = connection.execute(query.order_by(table.request_key.desc()).limit(MAX_MARKS))
    return [_mark(at, "retrain", f"{who}: {why}") for at, who, why in rows]
