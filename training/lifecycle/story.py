"""Story: what the loop did, as one sequence of runs, requests and changes of the champion.

Arrives: `training_runs`, `retrain_requests`, `promotions`. Leaves: entries, newest first. Next: `sagestream history`
prints them.

A change by hand and a rollback are entries like a promotion by the gate, and a probation is told with its promotion:
whether it runs, how it ended, and the lift that live traffic showed.
"""

from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Literal

from sqlalchemy import Connection

from training.lifecycle import registry
from training.lifecycle.promotions import Promotion, list_promotions
from training.lifecycle.registry import RetrainRequest, RunRow
from training.lifecycle.requests import waiting_requests


@dataclass(frozen=True)
class Entry:
    """One thing that happened. `at` is epoch ms."""

    at: int
    what: Literal["run", "request", "promote", "rollback"]
    model_version: str | None
    who: str
    """Who or what asked for it."""
    outcome: str
    seconds: float | None
    row: dict[str, Any]
    """The row of the table."""

    def to_json(self) -> dict[str, Any]:
        """Return the row with `what`, `at` and `outcome` beside it."""
        return {**self.row, "what": self.what, "at": self.at, "outcome": self.outcome}


def story(connection: Connection, *, newest: int) -> list[Entry]:
    """Return the newest entries, newest first. A request is an entry while it waits; then its run tells of it."""
    runs = map(_of_run, registry.list_runs(connection, newest=newest))
    changes = map(_of_change, list_promotions(connection, newest=newest))
    asked = map(_of_request, waiting_requests(connection))
    # Of one millisecond, the change comes after its run, so it is the newer one.
    entries = sorted(chain(asked, runs, changes), key=lambda entry: entry.at)
    return entries[::-1][:newest]


def _of_run(run: RunRow) -> Entry:
    outcome = run.status if run.error is None else f"{run.status}: {run.error}"
    seconds = None if run.finished_at is None else (run.finished_at - run.started_at) / 1000
    return Entry(run.started_at, "run", run.model_version, run.trigger, f"{run.kind}, {outcome}", seconds, asdict(run))


def _of_change(change: Promotion) -> Entry:
    said = change.why if change.from_version is None else f"{change.why} (from {change.from_version})"
    if probation := _probation(change):
        said += f"; {probation}"
    what: Literal["promote", "rollback"] = "rollback" if change.action == "rollback" else "promote"
    return Entry(change.at, what, change.to_version, change.who, said, None, asdict(change))


def _of_request(request: RetrainRequest) -> Entry:
    outcome = request.status if request.outcome is None else f"{request.status}: {request.outcome}"
    said = f"{request.reason}: {outcome}"
    return Entry(request.requested_at, "request", None, request.requested_by, said, None, asdict(request))


def _probation(change: Promotion) -> str:
    """Return the state of a probation in words, or nothing where there was none."""
    if change.probation_until is None:
        return ""
    state = f"probation {change.outcome}" if change.outcome else f"on probation: {change.detail.get('plan', '')}"
    lift = change.detail.get("lift")
    if lift is None:
        return state
    return f"{state}, lift {lift:+.1%} ({change.detail['low']:+.1%} to {change.detail['high']:+.1%})"
