"""Tune: chooses settings of GraphSAGE and the blend by the blended model's NDCG@20 on the validation window.

Arrives: a snapshot, a configuration to start from, a file for the study. Leaves: `Tuned`, with the changes that
`training.config_file` writes. Next: `sagestream train --config` trains with them.

A tree-structured Parzen estimator draws the trials (Bergstra et al., 2011). `training.search.objective` gives the value
of a trial. A trial ends early when GraphSAGE alone is below the median of the others at the same step. The test window
is read only after the choice, by the same full trial that `train` runs. Rejected: Hyperband, because it needs more
trials than a shop waits for.

The study is an SQLite file, written after every evaluation, so a killed call loses only the current trial. Draws depend
on the seed and the number of finished trials, so an interrupted study comes to the same result.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DatabaseError

from graphstore.errors import UserError
from graphstore.locks import FileLock
from graphstore.progress import Progress
from graphstore.snapshots.files import Snapshot
from training.benchmark.comparison import paired_bootstrap
from training.config import TrainingConfig
from training.evaluation.ranking import METRIC, Evaluation
from training.lifecycle.trial import full_trial
from training.options import FitEvaluation, TrainingOptions
from training.search.model_search import BASKETS, CHOICES, RECENT
from training.search.objective import Objective

FIRST: dict[str, dict[str, Any]] = {"default": {}, "choices": CHOICES, "baskets": BASKETS, "recent": RECENT}
"""The first trials, before any draw: the default, and the shapes of the benchmark's search."""

STARTUP_TRIALS = 6
"""Number of finished trials after which draws use the results."""

PRUNE_FROM_TRIALS = 4
PRUNE_FROM_EVALUATIONS = 4

IMPORTANCE_TRIALS = 4
"""With fewer finished trials, importances are not computed."""

NO_VARIANCE = "zero total variance"
"""fANOVA's error text when all trials have the same value, or nearly the same."""


class StudyError(UserError):
    """The file is no study, another call uses it, or no trial has finished."""


class TuningInterrupted(Exception):
    """The user stops the call. The current trial does not count."""


@dataclass(frozen=True)
class Tuned:
    """The result of a study. NDCG@20 on the validation window is out of fold."""

    finished: int
    """Completed trials over all calls."""
    pruned: int
    best: int
    """Number of the best trial."""
    changes: dict[str, Any]
    """Differences of the best from the default, for `training.config_file.save_config`. Empty for the default."""
    validation: dict[str, float]
    """NDCG@20 of `default` and `best`."""
    importances: dict[str, float]
    """Share of the variance over the finished trials (fANOVA, Hutter et al., 2014). Empty with too few trials, or when
    all values are equal."""


@contextmanager
def open_study(path: Path, objective: Objective) -> Iterator[Study]:
    """Open the study of `objective` in the SQLite file, or create it. Only one call at a time can use a file.

    A file holds one study for each combination of data and start settings. Raises `StudyError`.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    if not lock.acquire():
        raise StudyError(f"another call tunes with {path}")
    try:
        try:
            storage = RDBStorage(f"sqlite:///{path.resolve()}")
        except DatabaseError as error:
            raise StudyError(f"{path} is no study: {error.orig}") from error
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=objective.name,
                direction="maximize",
                load_if_exists=True,
                pruner=_pruner(objective),
            )
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # trials of a killed call
                study.tell(trial.number, state=TrialState.FAIL)
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()
    finally:
        lock.release()


def run_trials(
    study: Study,
    objective: Objective,
    *,
    trials: int,
    timeout_seconds: float = math.inf,
    progress: Progress,
    stopped: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run more trials, `trials` of them. No trial begins after the timeout. Raises `TuningInterrupted` at the first
    evaluation after `stopped`."""
    began = clock()
    for index in range(trials):
        if clock() - began >= timeout_seconds:
            return
        if stopped():
            raise TuningInterrupted
        trial = _next(study, objective)
        shape = trial.user_attrs.get("shape")
        title = f"trial {trial.number}{f' ({shape})' if shape else ''}"

        def report(line: str, share: float, title: str = title, index: int = index) -> None:
            progress(f"{title}: {line}", (index + share) / trials)

        report("begins", 0.0)
        ended = _run(study, objective, trial, report=report, stopped=stopped)
        report(ended, 1.0)


def _next(study: Study, objective: Objective) -> Trial:
    """Return the next trial of `FIRST` that has not finished, else a draw."""
    ended = _finished_trials(study)
    tried = {trial.user_attrs.get("shape") for trial in ended}
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))  # enqueued by a call that was killed
    missing = [name for name in FIRST if name not in tried]
    if missing and not waiting:
        study.enqueue_trial(objective.space.params(**FIRST[missing[0]]), user_attrs={"shape": missing[0]})
    # One sampler for each trial, so its draw does not depend on the number of calls before.
    draws = np.random.SeedSequence([objective.seed, len(ended)]).generate_state(1)
    study.sampler = TPESampler(n_startup_trials=STARTUP_TRIALS, seed=int(draws[0]))
    return study.ask(objective.space.distributions)


def _run(study: Study, objective: Objective, trial: Trial, *, report: Progress, stopped: Callable[[], bool]) -> str:
    """Run one trial, report it to the study, and return how it ended."""
    is_default = trial.user_attrs.get("shape") == "default"
    config = objective.config if is_default else objective.space.config(trial.params)

    def look(at: FitEvaluation) -> None:
        if stopped():
            raise TuningInterrupted
        if not math.isfinite(at.loss):
            raise optuna.TrialPruned("its loss is no number")
        assert at.ndcg is not None
        trial.report(at.ndcg, at.step)
        report(f"step {at.step} loss {at.loss:.3f} GraphSAGE alone {at.ndcg:.4f}", at.step / config.sage.max_steps)
        if not is_default and trial.should_prune():
            raise optuna.TrialPruned("below the median of the others")

    try:
        value = objective.ndcg(config, on_evaluation=look)
    except optuna.TrialPruned as reason:
        study.tell(trial, state=TrialState.PRUNED)
        return f"ended early, {reason}"
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    study.tell(trial, value)
    return f"{METRIC} {value:.4f}, the best so far {study.best_value:.4f}"


def outcome(study: Study, objective: Objective) -> Tuned:
    """Return the current result of the study. Raises `StudyError` before the default has finished."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    default = next((trial for trial in complete if trial.user_attrs.get("shape") == "default"), None)
    if default is None:
        raise StudyError("no trial has finished yet: run more trials")
    best = max(complete, key=lambda trial: (_value(trial), -trial.number))
    importances: dict[str, float] = {}
    if len(complete) >= IMPORTANCE_TRIALS:
        try:
            importances = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=objective.seed))
        except RuntimeError as error:
            if NO_VARIANCE not in str(error):
                raise
    return Tuned(
        finished=len(complete),
        pruned=len(_finished_trials(study)) - len(complete),
        best=best.number,
        changes={} if best is default else objective.space.changes(best.params),
        validation={"default": _value(default), "best": _value(best)},
        importances={name: float(share) for name, share in importances.items()},
    )


def evaluate_on_test(
    study: Study, objective: Objective, snapshot: Snapshot, tuned: Tuned, *, progress: Progress
) -> dict[str, float]:
    """Return NDCG@20 of `default` and `best` on the test window, measured as in `train`, once for each best trial.

    `difference` is the mean over users; 95 % of its resampled means lie between `low` and `high`.
    """
    known: Mapping[str, Any] | None = study.user_attrs.get("tested")
    if known is not None and known["trial"] == tuned.best:
        return dict(known["measured"])
    default = _evaluate(snapshot, objective, objective.config, progress=lambda line, share: progress(line, share / 2))
    best = default
    if tuned.changes:
        config = objective.space.config(study.trials[tuned.best].params)
        best = _evaluate(snapshot, objective, config, progress=lambda line, share: progress(line, 0.5 + share / 2))
    difference = best.per_user[METRIC] - default.per_user[METRIC]
    mean, low, high = paired_bootstrap(difference, seed=objective.seed)
    measured = {
        "default": float(default.per_user[METRIC].mean()),
        "best": float(best.per_user[METRIC].mean()),
        "difference": mean,
        "low": low,
        "high": high,
        "users": float(len(difference)),
    }
    study.set_user_attr("tested", {"trial": tuned.best, "measured": measured})
    return measured


def _evaluate(snapshot: Snapshot, objective: Objective, config: TrainingConfig, *, progress: Progress) -> Evaluation:
    options = TrainingOptions(seed=objective.seed, progress=progress)
    trial = full_trial(snapshot, kind="graphsage", champion=None, config=config, options=options)
    return trial.evaluation


def _pruner(objective: Objective) -> MedianPruner:
    warm_up = PRUNE_FROM_EVALUATIONS * objective.config.sage.evaluate_every
    return MedianPruner(n_startup_trials=PRUNE_FROM_TRIALS, n_warmup_steps=warm_up)


def _finished_trials(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
