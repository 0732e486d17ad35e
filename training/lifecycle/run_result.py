"""Run result: the outcome of a training run, recorded in the registry once.

Arrives: the gate's decision on a trained model. Leaves: rows of `models` and `training_runs`, perhaps a new champion.
Next: the commands print it, `serving.publisher` follows the champion.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection

from graphstore.errors import UserError
from training.lifecycle import registry
from training.lifecycle.patience import Wish, change_of


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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def record(connection: Connection, result: RunResult, *, now: int, probation: Wish) -> RunResult:
    """Insert the model, promote or keep it, and close the run, all in one transaction. Raises `RunFenced`."""
    champion = registry.champion(connection)
    if result.verdict == registry.PROMOTED and (champion.model_version if champion else None) != result.parent:
        reason = "another model became champion during the run"
        result = replace(result, verdict=registry.KEPT, reasons=[reason, *result.reasons])
    if not registry.finish_run(
        connection,
        result.run_id,
        status=result.verdict,
        now=now,
        snapshot_id=result.snapshot_id,
        model_version=result.model_version,
    ):
        raise RunFenced(f"run {result.run_id} was declared dead while it ran")
    gate = {"verdict": result.verdict, "reasons": result.reasons, "comparison": result.comparison}
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
        ),
    )
    if result.verdict == registry.PROMOTED:
        change = change_of(connection, f"gate, run {result.run_id}", "; ".join(result.reasons), probation, now=now)
        registry.promote(connection, result.model_version, now=now, change=change)
    else:
        registry.keep(connection, result.model_version)
    return result


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
    )
