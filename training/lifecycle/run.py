"""Training run: snapshot, trial, gate, bundle and registry, in this order.

Arrives: the SQL graph and a kind of run. Leaves: a bundle, a row in `models`, perhaps a new champion. Next:
`training.lifecycle.scheduler` calls it again and again; `serving.publisher` publishes the promoted model.

Only a model that passes the gate learns the test window, so it is fresh when it is published. A run id is used once. A
run that was marked as failed while it ran may finish its work, but its result does not count.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from sqlalchemy import Engine

from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError
from graphstore.log_context import logged_with
from graphstore.session import read, write
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.snapshot import configured_snapshot, open_snapshot
from training.baselines.gate import RECENT_POPULARITY
from training.config import TrainingConfig, TrainingFile
from training.data.dataset import TooFewEvents
from training.features.snapshot_features import featurizer
from training.lifecycle import registry
from training.lifecycle.gate import GateDecision
from training.lifecycle.guards import Opponent, inspect
from training.lifecycle.heartbeat import TRAIN, beating, owner_name
from training.lifecycle.lineage import Lineage, lineage_of
from training.lifecycle.patience import probation_wish
from training.lifecycle.registry import Kind
from training.lifecycle.run_result import RunFenced, RunResult, load_result, record
from training.lifecycle.trial import TrialResult, full_trial, incremental_trial
from training.models.bundle import load_bundle, save_bundle
from training.models.popularity_model import POPULARITY, popularity_model
from training.models.recommender import Recommender
from training.options import TrainingOptions
from training.sage.resume import CheckpointStore, resumable_since

logger = logging.getLogger(__name__)

RESUMED = "taken over from a run that was killed, on its snapshot"
"""Reason in the result of a run that resumes a killed run."""


@dataclass(frozen=True)
class RunSpec:
    """The wanted run and its reason."""

    kind: Kind
    trigger: str
    """Who or what asked for the run, as stored in `training_runs`."""
    run_id: str | None = None
    """The id of a run that the scheduler inserted before. None creates a new run."""
    resume: bool = False
    """Whether a graphsage run resumes a run that was killed during the fit of GraphSAGE, on its snapshot. An outdated
    snapshot is not resumed (`training.sage.resume`)."""


def run_training(
    engine: Engine,
    spec: RunSpec,
    *,
    graph: GraphstoreConfig,
    config: TrainingConfig,
    now: Callable[[], int],
    options: TrainingOptions,
) -> RunResult:
    """Train one model and pass it through the gate.

    A finished run does not run again; its result is returned. An error is recorded in `training_runs` and raised.
    Raises `RunFenced` when the run is dead. The run chooses its own checkpoint and ignores the checkpoint in `options`.
    A run with too few events to be judged (`TooFewEvents`) is postponed, not failed.

    A run that is inserted here writes its heartbeat. Whoever inserted a given `run_id` cares for that run's heartbeat.
    """
    with write(engine) as connection:
        run_id = spec.run_id or registry.next_run_id(connection, now=now())
        run = registry.start_run(
            connection, run_id, kind=spec.kind, trigger=spec.trigger, now=now(), owner=owner_name(TRAIN)
        )
        if run.model_version is not None:
            return load_result(connection, run)
        if run.status != registry.RUNNING:
            raise RunFenced(f"run {run_id} is {run.status}")
        champion = registry.champion(connection)
        lineage = lineage_of(connection, champion, kind=spec.kind, trigger=spec.trigger, config=config, now=now())
    try:
        alive = beating(engine, run_id, now=now) if spec.run_id is None else nullcontext()
        with logged_with(run_id=run_id), alive, _threads(config.training_threads):
            return _Run(engine, spec, run_id, lineage, graph, config, now, options).result()
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        status = registry.POSTPONED if isinstance(error, TooFewEvents) else registry.FAILED
        with write(engine) as connection:
            registry.finish_run(connection, run_id, status=status, now=now(), error=message)
        raise


@dataclass(frozen=True)
class _Run:
    """A run that is in the table. Its fields are the arguments of `run_training`."""

    engine: Engine
    spec: RunSpec
    run_id: str
    lineage: Lineage
    graph: GraphstoreConfig
    config: TrainingConfig
    now: Callable[[], int]
    options: TrainingOptions

    def result(self) -> RunResult:
        """Run the trial, the gate, the bundle and the registry."""
        began, kind, progress = time.monotonic(), self.spec.kind, self.options.progress
        progress("snapshot", 0.0)
        snapshot, trial = self._run_trial()
        config = self.config
        objections, measures = inspect(
            trial, self._opponent(trial), is_update=self.lineage.is_update, min_coverage_ratio=config.gate_min_coverage
        )
        decision = self.lineage.judge(trial, alpha=config.gate_alpha, objections=objections)
        promoted = decision.verdict == registry.PROMOTED
        if promoted:
            progress("learning the newest events", 0.85)
            trial.learn_test_window()
        progress("bundle", 0.95)
        recommender = trial.recommender(registry.model_of(self.run_id), kind=kind, fresh=promoted)
        metrics = trial.evaluation.metrics()
        bundle = self._save(recommender, snapshot, metrics)
        popularity = self._popularity(trial, snapshot, decision) if decision.action == "popularity" else None
        result = RunResult(
            run_id=self.run_id,
            model_version=recommender.model_version,
            kind=kind,
            verdict=decision.verdict,
            reasons=[*decision.reasons, *trial.notes],
            parent=self._parent,
            metrics=metrics,
            comparison={name: evaluation.metrics() for name, evaluation in trial.comparison.items()},
            seconds=time.monotonic() - began,
            bundle=str(bundle),
            snapshot_id=snapshot.snapshot_id,
            serves={
                "promote": recommender.model_version,
                "keep": self._parent,
                "anchor": self.lineage.full_version,
                "popularity": popularity.model_version if popularity else None,
            }[decision.action],
            settings_hash=self.lineage.settings_hash,
            anchor=self.lineage.full_version if self.lineage.is_update else None,
            memory=self.lineage.memory(decision, until=trial.dataset.as_of) | {"measures": measures},
        )
        with write(self.engine) as connection:
            result = record(
                connection, result, now=self.now(), probation=probation_wish(self.config), popularity=popularity
            )
        progress(result.verdict, 1.0)
        logger.info("%s %s %s: %s", kind, result.model_version, result.verdict, "; ".join(result.reasons))
        return result

    def _opponent(self, trial: TrialResult) -> Opponent | None:
        evaluation = trial.comparison.get(registry.CHAMPION)
        if evaluation is None or self.champion is None:
            return None
        return Opponent(evaluation, self.champion.gate.get("memory", {}).get("measures", {}))

    def _save(self, recommender: Recommender, snapshot: Snapshot, metrics: dict[str, float]) -> Path:
        return save_bundle(
            recommender,
            self.graph.state_dir.resolve() / "models",
            snapshot_id=snapshot.snapshot_id,
            parent=self._parent,
            metrics=metrics,
            config=json.loads(self.config.model_dump_json()),
        )

    def _popularity(self, trial: TrialResult, snapshot: Snapshot, decision: GateDecision) -> registry.ModelRow:
        """Save recent popularity, with all events, as a model that can serve."""
        metrics = trial.comparison[RECENT_POPULARITY].metrics()
        model = popularity_model(
            trial.dataset,
            trial.popularity.half_life_hours,
            model_version=f"p{self.run_id.removeprefix('r')}",
            repeats=trial.repeats,
        )
        bundle = self._save(model, snapshot, metrics)
        return registry.ModelRow(
            model_version=model.model_version,
            kind=POPULARITY,
            status=registry.CANDIDATE,
            parent=self._parent,
            snapshot_id=snapshot.snapshot_id,
            bundle=str(bundle),
            metrics=metrics,
            gate={"verdict": registry.PROMOTED, "reasons": decision.reasons, "comparison": {}},
            seconds=0.0,
            created_at=self.now(),
        )

    def _run_trial(self) -> tuple[Snapshot, TrialResult]:
        """Fit a candidate on a fresh snapshot, or with `resume` on the snapshot of a killed run."""
        if self.spec.kind == "graphsage":
            with CheckpointStore(
                self.graph.state_dir.resolve() / "checkpoints", settings=self._fit_settings
            ) as unfinished:
                interrupted = self._interrupted_snapshot(unfinished) if self.spec.resume else None
                snapshot = open_snapshot(self.engine, interrupted) if interrupted else self._fresh_snapshot()
                trial = self._full_trial(snapshot, checkpoint=unfinished.checkpoint(snapshot.snapshot_id))
            return snapshot, replace(trial, notes=[*trial.notes, RESUMED]) if interrupted else trial
        snapshot = self._fresh_snapshot()
        if self.spec.kind == "closed_form":
            return snapshot, self._full_trial(snapshot)
        if self.champion is None:
            raise registry.NoChampion("an incremental run needs a champion to start from: train another kind")
        return snapshot, incremental_trial(
            snapshot,
            champion_bundle=Path(self.champion.bundle),
            config=self.config,
            options=self.options,
        )

    @property
    def champion(self) -> registry.ModelRow | None:
        return self.lineage.champion

    @property
    def _parent(self) -> str | None:
        return self.champion.model_version if self.champion else None

    @property
    def _fit_settings(self) -> str:
        """Everything besides the snapshot that decides the result of a fit."""
        shaping = self.config.model_dump_json(include={*TrainingFile.model_fields, "gate_min_users"})
        return f"{self.options.seed} {self._parent} {shaping}"

    def _interrupted_snapshot(self, unfinished: CheckpointStore) -> Path | None:
        """Return the snapshot of an unfinished fit."""
        with read(self.engine) as connection:
            since = resumable_since(connection, now=self.now(), max_age_seconds=self.config.retrain_full_seconds)
        name = unfinished.snapshot_id(since=since)
        path = self.graph.snapshots_dir / name if name else None
        return path if path is not None and path.exists() else None

    def _fresh_snapshot(self) -> Snapshot:
        return configured_snapshot(
            self.engine, self.graph, as_of=self.now(), created_at=self.now(), featurize=featurizer(self.config)
        )

    def _full_trial(self, snapshot: Snapshot, checkpoint: Path | None = None) -> TrialResult:
        assert self.spec.kind != "incremental"
        return full_trial(
            snapshot,
            kind=self.spec.kind,
            champion=load_bundle(Path(self.champion.bundle)) if self.champion else None,
            config=self.config,
            options=replace(self.options, checkpoint=checkpoint),
        )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
