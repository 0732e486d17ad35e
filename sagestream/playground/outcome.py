"""Outcome: the measured figures of one playground run, and the tables that show them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from redis import Redis
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, select

from graphstore import queries
from graphstore.tables import metric_windows, models, training_runs
from monitoring.ctr import ctr
from sagestream.playground.shoppers import Change
from serving import cache

METRICS = ("ndcg@20", "recall@20")
NOTHING = {"p50": None, "p99": None, "samples": 0}


@dataclass
class EventCounts:
    """Counts of the interactions that one run produced, by event id: produced = stored + duplicate + dead."""

    produced: int = 0
    stored: int = 0
    duplicate: int = 0
    dead: int = 0

    def settled(self) -> bool:
        """Whether every produced event has an outcome."""
        return self.produced == self.stored + self.duplicate + self.dead


@dataclass
class Outcome:
    """The measured figures of one run."""

    broker: str = ""
    seconds: float = 0.0
    first_list_seconds: float | None = None
    graphsage_seconds: float | None = None
    peak_pss_mb: float = 0.0
    """Sum over all processes, with each shared page counted once (`sagestream.playground.memory`)."""
    quiet_pss_mb: float | None = None
    """The same sum while only the long-running processes run."""
    peak_rss_mb: float = 0.0
    events: EventCounts = field(default_factory=EventCounts)
    graph: dict[str, int] = field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    freshness: dict[str, Any] = field(default_factory=lambda: dict(NOTHING))
    ctr: dict[str, Any] = field(default_factory=dict)
    drift: dict[str, Any] = field(default_factory=dict)
    retrain: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the object that `playground --once --json` prints."""
        return {
            "seconds": round(self.seconds, 1),
            "first_list_seconds": _rounded(self.first_list_seconds),
            "graphsage_seconds": _rounded(self.graphsage_seconds),
            "peak_pss_mb": round(self.peak_pss_mb),
            "quiet_pss_mb": None if self.quiet_pss_mb is None else round(self.quiet_pss_mb),
            "peak_rss_mb": round(self.peak_rss_mb),
            "broker": self.broker,
            "events": vars(self.events),
            "graph": self.graph,
            "baselines": self.baselines,
            "models": self.models,
            "freshness_ms": self.freshness,
            "ctr": self.ctr,
            "drift": self.drift,
            "retrain": self.retrain,
            "stages": self.stages,
        }

    def missing(self) -> list[str]:
        """Return the missing results. The list is empty when every stage finished its work."""
        kinds = {model["kind"] for model in self.models}
        wanted = {
            "every event accounted for": self.events.settled() and self.events.produced > 0,
            "a first list": self.first_list_seconds is not None,
            "GraphSAGE with its baselines": "graphsage" in kinds and bool(self.baselines),
            "a measured freshness": bool(self.freshness["samples"]),
            "a click-through rate": self.ctr.get("value") is not None,
            "a drift report": bool(self.drift.get("report_html")),
            "an incremental retrain with its verdict": self.retrain.get("outcome") in ("promoted", "kept"),
        }
        return [what for what, there in wanted.items() if not there]


def measure(
    connection: Connection, redis: Redis, outcome: Outcome, *, run_began: int, live_began: int, now: int
) -> None:
    """Fill in the figures from SQL and Redis: graph, models, freshness, CTR, drift, retrain. Times are epoch ms."""
    counts = queries.counts(connection)
    outcome.graph = {name: counts[name] for name in ("users", "items", "edges")}
    outcome.models = model_rows(connection, since=run_began)
    outcome.freshness = freshness(redis)
    figure = ctr(connection, start=live_began, end=now)
    outcome.ctr = {name: getattr(figure, name) for name in ("impressions", "clicks", "value", "low", "high")}
    outcome.drift = newest_drift(connection, since=live_began) or {}
    outcome.retrain = newest_retrain(connection, since=live_began) or {}


def model_rows(connection: Connection, *, since: int) -> list[dict[str, Any]]:
    """Return the models created since `since` (epoch ms), oldest first, in the form of the JSON output."""
    query = select(models).where(models.c.created_at >= since).order_by(models.c.created_at)
    return [
        {
            "model_version": row.model_version,
            "kind": row.kind,
            "status": row.status,
            "parent": row.parent_version,
            "metrics": {name: json.loads(row.metrics).get(name) for name in METRICS},
            "gate": {name: json.loads(row.gate).get(name) for name in ("verdict", "reasons")},
            "seconds": _rounded(row.seconds),
        }
        for row in connection.execute(query)
    ]


def freshness(redis: Redis) -> dict[str, Any]:
    """Return the delays (ms) from an event to the changed list, as measured by the near-line process."""
    delays = np.array([int(raw) for raw in redis.lrange(cache.FRESHNESS, 0, -1)])
    if not delays.size:
        return dict(NOTHING)
    p50, p99 = np.percentile(delays, [50, 99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1), "samples": int(delays.size)}


def newest_drift(connection: Connection, *, since: int) -> dict[str, Any] | None:
    """Return the newest drift report with a window end at or after `since` (epoch ms)."""
    query = (
        select(metric_windows.c.value, metric_windows.c.detail)
        .where(metric_windows.c.metric == "drift", metric_windows.c.window_end >= since)
        .order_by(metric_windows.c.window_end.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    detail = json.loads(row.detail)
    return {"share": row.value, **{name: detail.get(name) for name in ("verdict", "reason", "report_html")}}


def newest_retrain(connection: Connection, *, since: int) -> dict[str, Any] | None:
    """Return the newest incremental training run since `since` (epoch ms). A finished run has priority."""
    query = (
        select(training_runs)
        .where(training_runs.c.started_at >= since, training_runs.c.kind == "incremental")
        .order_by(training_runs.c.started_at.desc())
    )
    rows = connection.execute(query).all()
    finished = [row for row in rows if row.status != "running"]
    shown = finished or rows
    return {"trigger": shown[0].trigger, "outcome": shown[0].status} if shown else None


def comparison_table(title: str, rows: Mapping[str, Mapping[str, float]], ours: Sequence[str]) -> Table:
    """Return a table with NDCG@20 and Recall@20 of each model. The models in `ours` are bold."""
    table = Table("model", *METRICS, title=title)
    for name, metrics in rows.items():
        style = "bold" if name in ours else None
        table.add_row(name.replace("_", " "), *(f"{metrics[metric]:.4f}" for metric in METRICS), style=style)
    return table


def change_table(change: Change, rows: int = 8) -> Table:
    """Return a table of a shopper's list before and after a purchase, from just above the first changed position.

    Items that moved up are green.
    """
    took = "no change within the time" if change.milliseconds is None else f"{change.milliseconds:.0f} ms"
    title = f"shopper {change.user_id} buys {change.item_title}: event to changed list {took}"
    table = Table("", "before", "after", title=Text(title))
    pairs = list(zip(change.before, change.after, strict=False))
    changed = next((place for place, (before, after) in enumerate(pairs) if before != after), 0)
    first = max(changed - 1, 0)
    places = {title: place for place, title in reversed(list(enumerate(change.before)))}
    for place, (before, after) in enumerate(pairs[first : first + rows], start=first):
        rose = places.get(after, len(pairs)) > place
        table.add_row(str(place + 1), Text(before), Text(after, "green" if rose else ""))
    return table


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
