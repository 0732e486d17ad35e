"""Models: the champion, its probation, the newest models with their verdicts, requests for a retrain, and runs.

Arrives: `models`, `promotions`, `retrain_requests`, `training_runs`, stored windows. Leaves: the page `models`. Next:
`monitoring.dashboard.show` writes it.

Model and run ids begin with their time, so the newest are found by the primary key.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy import Row as SqlRow

from graphstore.tables import models, retrain_requests, training_runs
from monitoring.dashboard.series import DAY, pooled, read_segments
from monitoring.dashboard.wording import age, moment, short, window
from monitoring.windows import TimeWindow, segment_name
from serving.dashboard.blocks import Action, AnyBlock, Cell, Column, Page, Row, Rows, State, Tile, Tiles
from training.lifecycle.promotions import HARM, Promotion, list_promotions, running_probation
from training.lifecycle.registry import CHAMPION, RUNNING

NEWEST = 30
"""Rows of each table."""

DAYS = 28
TEXT_CHARACTERS = 300

RUN_STATES: dict[str, State] = {"promoted": "ok", "kept": "ok", "running": "none", "postponed": "none", "failed": "bad"}


def compose(connection: Connection, *, now: int) -> Page:
    """Return the page as of `now` (epoch ms)."""
    newest = connection.execute(select(models).order_by(models.c.model_version.desc()).limit(NEWEST)).all()
    champion = connection.execute(select(models).where(models.c.status == CHAMPION)).one_or_none()
    changes = list_promotions(connection, newest=NEWEST)
    blocks: list[AnyBlock] = [
        _at_a_glance(champion, running_probation(connection), now),
        _models(connection, newest, now),
        _changes(changes),
        _requests(connection),
        _asking(),
        _runs(connection, now),
    ]
    return Page(name="models", title="Models", made_at=now, blocks=blocks)


def _at_a_glance(champion: SqlRow[Any] | None, probation: Promotion | None, now: int) -> Tiles:
    tiles = []
    if champion is None:
        tiles.append(Tile(label="Champion", value=None, note="no model serves yet; popular items are shown"))
    else:
        since = champion.promoted_at or champion.created_at
        tiles.append(
            Tile(
                label="Champion",
                value=champion.model_version,
                note=f"{champion.kind}, serves for {age(now - since)}",
                window=f"since {moment(since)} UTC",
            )
        )
    if probation is None:
        tiles.append(Tile(label="Probation", value="none runs", note="no shopper keeps a previous champion's lists"))
    else:
        tiles.append(_probation(probation, now))
    return Tiles(title="Now", tiles=tiles)


def _probation(probation: Promotion, now: int) -> Tile:
    detail, lift = probation.detail, probation.detail.get("lift")
    shoppers: dict[str, int] = detail.get("shoppers", {})
    return Tile(
        label="Probation: lift of the click-through rate",
        value=lift,
        unit="share",
        low=detail.get("low"),
        high=detail.get("high"),
        n=sum(shoppers.values()) or None,
        n_of="shoppers",
        window=window(TimeWindow(probation.at, max(now, probation.at))),
        note=short(str(detail.get("words") or "too few shoppers to compare yet"), TEXT_CHARACTERS),
        state="none" if lift is None else "bad" if (detail.get("high") or 0.0) < 0 else "ok",
    )


def _models(connection: Connection, newest: Sequence[SqlRow[Any]], now: int) -> Rows:
    since = now // DAY * DAY - (DAYS - 1) * DAY
    segments = {segment_name("model", row.model_version): row.model_version for row in newest}
    found = read_segments(connection, segments, width=DAY, since=since, until=now)
    rates = {version: pooled(found.get(segment, [])).ctr() for segment, version in segments.items()}
    rows = []
    for row in newest:
        rate, gate = rates[row.model_version], json.loads(row.gate)
        rows.append(
            Row(
                cells=[
                    row.model_version,
                    row.kind,
                    Cell(
                        value=_status(row), state="bad" if row.banned_at else "ok" if row.status == CHAMPION else "none"
                    ),
                    row.created_at,
                    Cell(value=rate.value, low=rate.low, high=rate.high, title=f"of {rate.n:,} shown"),
                    rate.n,
                    row.seconds,
                    short(_verdict(gate), TEXT_CHARACTERS),
                ]
            )
        )
    return Rows(
        title="Newest models",
        note="Clicked: of the items that this model showed, to whomever it was shown. Compare models by a probation or "
        "an experiment, where chance decides who sees which.",
        columns=[
            Column(name="model"),
            Column(name="kind"),
            Column(name="status"),
            Column(name="made", unit="time"),
            Column(name="clicked", unit="share"),
            Column(name="shown", unit="count"),
            Column(name="training", unit="seconds"),
            Column(name="verdict of the gate"),
        ],
        rows=rows,
        window=f"click-through: {window(TimeWindow(since, now))}",
        empty="No model was trained yet.",
    )


def _status(row: SqlRow[Any]) -> str:
    return f"{row.status}, banned" if row.banned_at else f"{row.status}, deleted" if row.pruned_at else str(row.status)


def _verdict(gate: dict[str, Any]) -> str:
    reasons = gate.get("reasons") or []
    words = "; ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)
    verdict = gate.get("verdict")
    return ": ".join(part for part in (str(verdict) if verdict else "", words) if part)


def _changes(changes: list[Promotion]) -> Rows:
    rows = []
    for change in changes:
        detail = change.detail
        outcome = change.outcome or ("runs" if change.probation_until and not change.ended_at else "")
        lift = Cell(value=detail.get("lift"), low=detail.get("low"), high=detail.get("high"))
        why = Cell(value=short(change.why, TEXT_CHARACTERS), title=change.why)
        state: State = "bad" if change.outcome == HARM else "none"
        rows.append(
            Row(
                cells=[
                    change.at,
                    change.action,
                    change.to_version,
                    change.from_version,
                    change.who,
                    Cell(value=outcome, state=state),
                    lift,
                    why,
                ]
            )
        )
    return Rows(
        title="Promotions and rollbacks",
        note="Lift: the difference of the click-through rates in the probation, as a share of the previous champion's, "
        "with an interval that is valid at every look.",
        columns=[
            Column(name="at", unit="time"),
            Column(name="change"),
            Column(name="to"),
            Column(name="from"),
            Column(name="who"),
            Column(name="probation"),
            Column(name="lift", unit="share"),
            Column(name="why"),
        ],
        rows=rows,
        window=f"the newest {len(rows)}" if rows else "",
        empty="No model was promoted yet.",
    )


def _requests(connection: Connection) -> Rows:
    table = retrain_requests.c
    found = connection.execute(select(retrain_requests).order_by(table.request_key.desc()).limit(NEWEST))
    rows = [
        Row(
            cells=[
                row.requested_at,
                row.requested_by,
                Cell(value=short(row.reason, TEXT_CHARACTERS), title=row.reason),
                "yes" if row.full else "no",
                row.status,
                short(row.outcome or "", TEXT_CHARACTERS),
            ]
        )
        for row in found
    ]
    return Rows(
        title="Requests for a retrain",
        columns=[
            Column(name="at", unit="time"),
            Column(name="who"),
            Column(name="why"),
            Column(name="from scratch"),
            Column(name="status"),
            Column(name="outcome"),
        ],
        rows=rows,
        window=f"the newest {len(rows)}" if rows else "",
        empty="Nobody asked for a retrain yet.",
    )


def _asking() -> Rows:
    ask = Action(errand="retrain", subject="asked for on the dashboard", label="Ask for a retrain")
    said = "The scheduler trains when it comes to it; the gate judges the new model like any other."
    return Rows(
        title="Ask for a retrain", columns=[Column(name="what happens")], rows=[Row(cells=[said], actions=[ask])]
    )


def _seconds(row: SqlRow[Any], now: int) -> float | None:
    """Return how long a run took, or has taken so far; None where it ended and nobody noted when."""
    if row.finished_at is None and row.status != RUNNING:
        return None
    return float((row.finished_at or now) - row.started_at) / 1000


def _runs(connection: Connection, now: int) -> Rows:
    found = connection.execute(select(training_runs).order_by(training_runs.c.run_id.desc()).limit(NEWEST))
    rows = [
        Row(
            cells=[
                row.started_at,
                row.kind,
                short(row.trigger, TEXT_CHARACTERS),
                Cell(value=row.status, state=RUN_STATES.get(row.status, "none")),
                _seconds(row, now),
                row.model_version,
                short(row.error or "", TEXT_CHARACTERS),
            ]
        )
        for row in found
    ]
    return Rows(
        title="Training runs",
        columns=[
            Column(name="began", unit="time"),
            Column(name="kind"),
            Column(name="asked by"),
            Column(name="status"),
            Column(name="took", unit="seconds"),
            Column(name="model"),
            Column(name="error"),
        ],
        rows=rows,
        window=f"the newest {len(rows)}" if rows else "",
        empty="No training ran yet.",
    )
