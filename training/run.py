"""A training run: snapshot, trial, gate, bundle, registry, in that order.

Arrives: the SQL graph and a kind of run. Leaves: a bundle, a row in `models`, perhaps a new champion. Next:
`training.scheduler` calls it again and again; `serving.publisher` publishes what it promotes.

Only a model that passed the gate learns the events that it was judged on, and so is published fresh. A run has a name,
entered once: one that was declared dead while it ran may finish its work, and nothing of it counts.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import Engine

from graphstore.config import GraphstoreConfig
from graphstore.session import read, write
from graphstore.snapshot import build_snapshot, open_snapshot
from graphstore.snapshot_files import Snapshot
from training import registry
from training.baselines.gate import RECENT_POPULARITY
from training.bundle import load_bundle, save_bundle
from training.config import TrainingConfig
from training.gate import GateRules, decide
from training.recommender import Recommender
from training.registry import Kind
from training.run_result import RunFenced, RunResult, recalled, recorded
from training.snapshot_features import featurizer
from training.train import Progress
from training.trial import CHAMPION, Trial, full_trial, incremental_trial
from training.unfinished import UnfinishedFits, outdated_before

logger = logging.getLogger(__name__)

TAKEN_OVER = "taken over from a run that was killed, on its snapshot"
"""Among the reasons of a run that goes on with another."""


def run_training(
    engine: Engine,
    *,
    kind: Kind,
    trigger: str,
    graph: GraphstoreConfig,
    config: TrainingConfig,
    now: Callable[[], int],
    seed: int,
    progress: Progress | None = None,
    run_id: str | None = None,
    resume: bool = False,
) -> RunResult:
    """Train one model and put it through the gate.

    With `resume` a graphsage run goes on with one that was killed while GraphSAGE learned, on its snapshot, unless that
    is out of date (`training.unfinished`). `run_id` names a run that was entered before, by the scheduler; a run that
    has finished is not run again, its result is returned. A failure is recorded in `training_runs` and raised;
    `RunFenced` where the run is dead.
    """
    with write(engine) as connection:
        run_id = run_id or registry.next_run_id(connection, now=now())
        run = registry.start_run(connection, run_id, kind=kind, trigger=trigger, now=now())
        if run.model_version is not None:
            return recalled(connection, run)
        if run.status != registry.RUNNING:
            raise RunFenced(f"run {run_id} is {run.status}")
        champion = registry.champion(connection)
    try:
        with _threads(config.training_threads):
            return _trained(
                engine,
                run_id,
                kind=kind,
                champion=champion,
                graph=graph,
                config=config,
                now=now,
                seed=seed,
                progress=progress or _silent,
                resume=resume,
            )
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        with write(engine) as connection:
            registry.finish_run(connection, run_id, status=registry.FAILED, now=now(), error=message)
        raise


def _trained(
    engine: Engine,
    run_id: str,
    *,
    kind: Kind,
    champion: registry.ModelRow | None,
    graph: GraphstoreConfig,
    config: TrainingConfig,
    now: Callable[[], int],
    seed: int,
    progress: Progress,
    resume: bool,
) -> RunResult:
    began = time.monotonic()
    snapshot, trial = _tried(
        engine,
        kind=kind,
        champion=champion,
        graph=graph,
        config=config,
        now=now,
        seed=seed,
        progress=progress,
        resume=resume,
    )
    decision = decide(
        trial.evaluation,
        trial.comparison.get(CHAMPION),
        popularity=trial.comparison[RECENT_POPULARITY],
        rules=GateRules(
            min_users=config.gate_min_users,
            confidence=config.gate_confidence,
            min_coverage_ratio=config.gate_min_coverage,
        ),
        seed=seed,
    )
    if decision.verdict == registry.PROMOTED:
        progress("learning the newest events", 0.85)
        trial.learn_the_rest()
    progress("bundle", 0.95)
    recommender = _recommender(trial, f"m{run_id.removeprefix('r')}", kind, fresh=decision.verdict == registry.PROMOTED)
    metrics = trial.evaluation.metrics()
    bundle = save_bundle(
        recommender,
        graph.state_dir.resolve() / "models",
        snapshot_id=snapshot.snapshot_id,
        parent=champion.model_version if champion else None,
        metrics=metrics,
        config=json.loads(config.model_dump_json()),
    )
    result = RunResult(
        run_id=run_id,
        model_version=recommender.model_version,
        kind=kind,
        verdict=decision.verdict,
        reasons=[*decision.reasons, *trial.notes],
        parent=champion.model_version if champion else None,
        metrics=metrics,
        comparison={name: evaluation.metrics() for name, evaluation in trial.comparison.items()},
        seconds=time.monotonic() - began,
        bundle=str(bundle),
        snapshot_id=snapshot.snapshot_id,
    )
    with write(engine) as connection:
        result = recorded(connection, result, now=now())
    progress(result.verdict, 1.0)
    logger.info("%s %s %s: %s", kind, result.model_version, result.verdict, "; ".join(result.reasons))
    return result


def _tried(
    engine: Engine,
    *,
    kind: Kind,
    champion: registry.ModelRow | None,
    graph: GraphstoreConfig,
    config: TrainingConfig,
    now: Callable[[], int],
    seed: int,
    progress: Progress,
    resume: bool,
) -> tuple[Snapshot, Trial]:
    """A candidate on a fresh snapshot, or with `resume` on that of a run that was killed while GraphSAGE learned."""

    def fresh() -> Snapshot:
        featurize = featurizer(config)
        return build_snapshot(engine, graph.snapshots_dir, as_of=now(), created_at=now(), featurize=featurize)

    progress("snapshot", 0.0)
    settings: dict[str, Any] = {"config": config, "seed": seed, "progress": progress}
    known = Path(champion.bundle) if champion else None
    if kind == "incremental":
        if known is None:
            raise ValueError("an incremental run needs a champion to start from")
        snapshot = fresh()
        return snapshot, incremental_trial(snapshot, champion_bundle=known, **settings)
    reigning = load_bundle(known) if known else None
    if kind == "closed_form":
        snapshot = fresh()
        return snapshot, full_trial(snapshot, kind=kind, champion=reigning, **settings)
    decisive = f"{seed} {champion.model_version if champion else None} {config.model_dump_json()}"
    with UnfinishedFits(graph.state_dir.resolve() / "checkpoints", settings=decisive) as unfinished:
        with read(engine) as connection:
            since = outdated_before(connection, now=now(), max_age_seconds=config.retrain_full_seconds)
        interrupted = unfinished.snapshot_id(since=since) if resume else None
        takes_over = interrupted is not None and (graph.snapshots_dir / interrupted).exists()
        snapshot = open_snapshot(engine, graph.snapshots_dir / str(interrupted)) if takes_over else fresh()
        checkpoint = unfinished.checkpoint(snapshot.snapshot_id)
        trial = full_trial(snapshot, kind=kind, champion=reigning, checkpoint=checkpoint, **settings)
        return snapshot, replace(trial, notes=[*trial.notes, TAKEN_OVER]) if takes_over else trial


def _recommender(trial: Trial, model_version: str, kind: Kind, *, fresh: bool) -> Recommender:
    return Recommender(
        model_version=model_version,
        kind=kind,
        # Not the snapshot's time but the newest event's: what comes late in a quiet hour is still new to the model.
        as_of=trial.dataset.as_of if fresh else trial.split.test,
        repeats=trial.repeats,
        item_ids=trial.dataset.item_ids,
        item_keys=trial.dataset.item_keys,
        available=trial.dataset.catalogue.available,
        terms=trial.candidate.terms,
        blend=trial.candidate.blend,
        encoder=trial.encoder,
    )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _silent(_line: str, _share: float) -> None:
    """Progress that nobody asked for."""
