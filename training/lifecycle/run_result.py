"""Run result: the outcome of a training run, recorded in the registry once.

Arrives: the gate's decision on a trained model. Leaves: rows of `models` and `training_runs`, perhaps a new champion.
Next: the commands print it, `serving.publisher` follows the champion.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from graphstore.errors import UserError
from training.lifecycle import registry
from training.lifecycle.patience import Wish, change_of
from training.lifecycle.promotions import Change
from training.models.popularity_model import POPULARITY

MAX_REASON = 500
"""Characters of a retrain request's reason."""


class RunFenced(UserError):
    """This run was marked as failed while it ran. Its result must not count."""


@dataclass(frozen=True)
class RunResult:
    """The outcome of a run."""

    run_id: str
    model_version: str
    kind: str
    verdict: str
    """"promoted" or "kept"."""
    reasons: list[str]
    parent: str | None
    """The champion at the start of the run."""
    metrics: dict[str, float]
    """By name, such as `ndcg@20`. Warm and cold users have the prefixes `warm_` and `cold_`."""
    comparison: dict[str, dict[str, float]]
    """The same measures of the baselines and the champion on the same window."""
    seconds: float
    bundle: str
    snapshot_id: str
    serves: str | None = None
    """The champion after the run: this model, its parent, the last full model, or recent popularity."""
    settings_hash: str | None = None
    anchor: str | None = None
    """The full model that an update comes from."""
    memory: dict[str, Any] = field(default_factory=dict)
    """The gate's evidence for the next run (`training.lifecycle.lineage`)."""

    @property
    def switched(self) -> bool:
        """Whether another model serves since the run."""
        return self.serves != self.parent

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def record(
    connection: Connection,
    result: RunResult,
    *,
    now: int,
    probation: Wish,
    popularity: registry.ModelRow | None = None,
) -> RunResult:
    """Insert the model, promote what serves next, and close the run, all in one transaction. Raises `RunFenced`.

    `popularity` is the row of the popularity model that `result.serves` may name. When the champion changed during the
    run, nothing is promoted.
    """
    champion = registry.champion(connection)
    current = champion.model_version if champion else None
    if result.switched and current != result.parent:
        reason = "another model became champion during the run"
        result = replace(result, verdict=registry.KEPT, reasons=[reason, *result.reasons], serves=current, memory={})
    if not registry.finish_run(
        connection,
        result.run_id,
        status=result.verdict,
        now=now,
        snapshot_id=result.snapshot_id,
        model_version=result.model_version,
    ):
        raise RunFenced(f"run {result.run_id} was declared dead while it ran")
    gate = {
        "verdict": result.verdict,
        "reasons": result.reasons,
        "comparison": result.comparison,
        "serves": result.serves,
        "memory": result.memory,
    }
    registry.register(
        connection,
        registry.ModelRow(
            model_version=result.model_version,
            kind=result.kind,
            status=registry.CANDIDATE,
            parent=result.parent,
            snapshot_id=result.snapshot_id,
            bundle=result.bundle,
            metrics=result.metrics,
            gate=gate,
            seconds=result.seconds,
            created_at=now,
            anchor=result.anchor,
            settings_hash=result.settings_hash,
        ),
    )
    who, why = f"gate, run {result.run_id}", "; ".join(result.reasons)
    if result.verdict == registry.PROMOTED:
        change = change_of(connection, who, why, probation, now=now)
        registry.promote(connection, result.model_version, now=now, change=change)
        return result
    registry.keep(connection, result.model_version)
    if result.memory.get("action") in ("anchor", "popularity"):
        _go_back(connection, result, Change(who, why), now=now, popularity=popularity)
    return result


def _go_back(
    connection: Connection, result: RunResult, change: Change, *, now: int, popularity: registry.ModelRow | None
) -> None:
    """Promote the anchor or popularity instead of a champion that did harm, without a probation, and ask for a new
    full model. Where the champion is the anchor itself, it stays."""
    assert result.serves is not None
    if popularity is not None and popularity.model_version == result.serves:
        registry.register(connection, popularity)
    elif result.parent is not None and result.switched:
        registry.ban(connection, result.parent, now=now)
    parent = None if result.parent is None else registry.get_model(connection, result.parent)
    registry.promote(connection, result.serves, now=now, change=change)
    if parent is not None and parent.kind != POPULARITY:  # popularity goes on with newer events: nothing is wrong
        registry.request_retrain(connection, reason=change.why[:MAX_REASON], requested_by="gate", now=now, full=True)


def load_result(connection: Connection, run: registry.RunRow) -> RunResult:
    """Return the result of a finished run."""
    model = registry.get_model(connection, str(run.model_version))
    return RunResult(
        run_id=run.run_id,
        model_version=model.model_version,
        kind=model.kind,
        verdict=model.gate["verdict"],
        reasons=model.gate["reasons"],
        parent=model.parent,
        metrics=model.metrics,
        comparison=model.gate["comparison"],
        seconds=model.seconds,
        bundle=model.bundle,
        snapshot_id=model.snapshot_id,
        serves=model.gate.get("serves"),
        settings_hash=model.settings_hash,
        anchor=model.anchor,
        memory=model.gate.get("memory", {}),
    )
