"""Tuning: settings of GraphSAGE and the blend, chosen by what the blended model ranks best on the validation window.

Arrives: a snapshot, a configuration to start from, a file for the study. Leaves: `Tuned`, with the changes that
`training.config_file` writes. Next: `sagestream train --config` trains with them.

Trials are drawn by a tree of Parzen estimators (Bergstra et al., 2011), are worth what `training.search.objective`
says, and end early where GraphSAGE by itself is below the median of the others at the same step. The test window is
looked at when all is chosen, by the same full trial that `train` runs. Hyperband was passed over: it wants more trials
than a shop waits for.

The study is an SQLite file, written after every look, so a killed call loses the trial in hand. Draws depend on the
seed and on how many trials have finished, so a study that was interrupted comes to what it would have come to anyway.
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

from graphstore.locks import FileLock
from graphstore.progress import Progress
from graphstore.snapshots.files import Snapshot
from training.benchmark.comparison import paired_bootstrap
from training.config import TrainingConfig
from training.evaluation.ranking import METRIC, Evaluation
from training.lifecycle.trial import full_trial
from training.options import Look, TrainingOptions
from training.search.model_search import BASKETS, CHOICES, RECENT
from training.search.objective import Objective

FIRST: dict[str, dict[str, Any]] = {"default": {}, "choices": CHOICES, "baskets": BASKETS, "recent": RECENT}
"""Trials before anything is drawn: where we stand, and the shapes that the benchmark's search tries."""

STARTUP_TRIALS = 6
"""Finished trials from which the draws follow what was found."""

PRUNE_FROM_TRIALS = 4
PRUNE_FROM_LOOKS = 4

IMPORTANCE_TRIALS = 4
"""Finished trials below which nothing is said of what mattered."""

NO_VARIANCE = "zero total variance"
"""Of what fANOVA says where no setting parts the trials: their values are equal, or as good as equal."""


class StudyError(RuntimeError):
    """The file is no study, is in use, or has no finished trial."""


class TuningInterrupted(Exception):
    """Somebody wants the call to end; the trial in hand does not count."""


@dataclass(frozen=True)
class Tuned:
    """What a study came to. NDCG@20 on the validation window is out of fold."""

    finished: int
    """Trials that ran to their end, over all calls."""
    pruned: int
    best: int
    """The number of the best trial."""
    changes: dict[str, Any]
    """Of the best against the default, for `training.config_file.save_config`; empty where the default is best."""
    validation: dict[str, float]
    """NDCG@20 of `default` and `best`."""
    importances: dict[str, float]
    """Share of the variance over the finished trials (fANOVA, Hutter et al., 2014); empty where they are too few
    or all equal."""


@contextmanager
def open_study(path: Path, objective: Objective) -> Iterator[Study]:
    """The study of `objective` in the SQLite file, a new one where there is none; one call at a time.

    A file holds as many studies as there were data and settings to start from. Raises `StudyError`.
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
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # of a call that was killed
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
    """So many more trials; none begins after the timeout. Raises `TuningInterrupted` at the first look after
    `stopped`."""
    began = clock()
    for place in range(trials):
        if clock() - began >= timeout_seconds:
            return
        if stopped():
            raise TuningInterrupted
        trial = _next(study, objective)
        shape = trial.user_attrs.get("shape")
        title = f"trial {trial.number}{f' ({shape})' if shape else ''}"

        def report(line: str, share: float, title: str = title, place: int = place) -> None:
            progress(f"{title}: {line}", (place + share) / trials)

        report("begins", 0.0)
        ended = _run(study, objective, trial, report=report, stopped=stopped)
        report(ended, 1.0)


def _next(study: Study, objective: Objective) -> Trial:
    """The next of `FIRST` that has not finished, else a draw."""
    ended = _ended(study)
    tried = {trial.user_attrs.get("shape") for trial in ended}
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))  # of a call that was killed right there
    missing = [name for name in FIRST if name not in tried]
    if missing and not waiting:
        study.enqueue_trial(objective.space.params(**FIRST[missing[0]]), user_attrs={"shape": missing[0]})
    # One sampler a trial: what it draws must not depend on how many calls the study was run in.
    draws = np.random.SeedSequence([objective.seed, len(ended)]).generate_state(1)
    study.sampler = TPESampler(n_startup_trials=STARTUP_TRIALS, seed=int(draws[0]))
    return study.ask(objective.space.distributions)


def _run(study: Study, objective: Objective, trial: Trial, *, report: Progress, stopped: Callable[[], bool]) -> str:
    """One trial to its end, told to the study; how it ended."""
    is_default = trial.user_attrs.get("shape") == "default"
    config = objective.config if is_default else objective.space.config(trial.params)

    def look(at: Look) -> None:
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
        value = objective.ndcg(config, on_look=look)
    except optuna.TrialPruned as reason:
        study.tell(trial, state=TrialState.PRUNED)
        return f"ended early, {reason}"
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    study.tell(trial, value)
    return f"{METRIC} {value:.4f}, the best so far {study.best_value:.4f}"


def outcome(study: Study, objective: Objective) -> Tuned:
    """What the study came to so far. Raises `StudyError` before the default has finished."""
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
        pruned=len(_ended(study)) - len(complete),
        best=best.number,
        changes={} if best is default else objective.space.changes(best.params),
        validation={"default": _value(default), "best": _value(best)},
        importances={name: float(share) for name, share in importances.items()},
    )


def judged_on_test(
    study: Study, objective: Objective, snapshot: Snapshot, tuned: Tuned, *, progress: Progress
) -> dict[str, float]:
    """NDCG@20 of `default` and `best` on the test window, as `train` measures it; for each best trial computed once.

    `difference` is user by user, 95 % of resampled means lie from `low` to `high`.
    """
    known: Mapping[str, Any] | None = study.user_attrs.get("tested")
    if known is not None and known["trial"] == tuned.best:
        return dict(known["measured"])
    default = _judged(snapshot, objective, objective.config, progress=lambda line, share: progress(line, share / 2))
    best = default
    if tuned.changes:
        config = objective.space.config(study.trials[tuned.best].params)
        best = _judged(snapshot, objective, config, progress=lambda line, share: progress(line, 0.5 + share / 2))
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


def _judged(snapshot: Snapshot, objective: Objective, config: TrainingConfig, *, progress: Progress) -> Evaluation:
    options = TrainingOptions(seed=objective.seed, progress=progress)
    trial = full_trial(snapshot, kind="graphsage", champion=None, config=config, options=options)
    return trial.evaluation


def _pruner(objective: Objective) -> MedianPruner:
    warm_up = PRUNE_FROM_LOOKS * objective.config.sage.evaluate_every
    return MedianPruner(n_startup_trials=PRUNE_FROM_TRIALS, n_warmup_steps=warm_up)


def _ended(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
