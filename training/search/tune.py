"""Tune: chooses settings of GraphSAGE and the blend by the blended model's NDCG@20 on the validation window.

Arrives: a snapshot, a configuration to start from, a file for the study. Leaves: `Tuned`, with the changes that
`training.config_file` writes. Next: `sagestream train --config` trains with them.

`training.search.batches` draws the trials, `training.search.drawn_trial` runs them. The test window is read only after
the choice, by the same full trial that `train` runs. Rejected: Hyperband, because it needs more trials than a shop
waits for.

The study is an SQLite file, written after every trial, so a killed call loses only the trials that run. The next call
begins with what was drawn and has not ended, so an interrupted study comes to the same result.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DatabaseError

from graphstore.errors import UserError
from graphstore.locks import FileLock
from graphstore.progress import Progress
from graphstore.snapshots.files import Snapshot
from training.benchmark.comparison import paired_bootstrap
from training.config import TrainingConfig
from training.evaluation.ranking import METRIC, Evaluation
from training.lifecycle.trial import full_trial
from training.options import TrainingOptions
from training.search.batches import EARLIER, drawn_trials, finished_trials, next_batch, tell
from training.search.drawn_trial import RunTasks, TrialTask
from training.search.objective import Objective

IMPORTANCE_TRIALS = 4
"""With fewer finished trials, importances are not computed."""

NO_VARIANCE = "zero total variance"
"""fANOVA's error text when all trials have the same value, or nearly the same."""


class StudyError(UserError):
    """The file is no study, another call uses it, or no trial has finished."""


@dataclass(frozen=True)
class Amount:
    """How much one call adds to a study."""

    trials: int
    batch: int
    """Trials that are drawn at once. A batch that a call does not finish goes on in the next call."""
    timeout_seconds: float = math.inf
    """No trial begins after this time."""


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
            )
            for trial in drawn_trials(study):
                if EARLIER not in trial.user_attrs:  # the call was killed in the middle of the draw
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
    amount: Amount,
    *,
    run: RunTasks,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run more trials by `run`, batch after batch, and tell each to the study as it ends. Raises what `run` raises."""
    began, ended = clock(), 0

    def in_time() -> bool:
        return clock() - began < amount.timeout_seconds

    def report(task: TrialTask, line: str, share: float) -> None:
        progress(f"{task.title}: {line}", (ended + share) / amount.trials)

    def begin(tasks: Sequence[TrialTask]) -> Iterator[TrialTask]:
        for place, task in enumerate(tasks):
            if place and not in_time():
                return
            report(task, "begins", 0.0)
            yield task

    while ended < amount.trials and in_time():
        tasks = next_batch(study, objective, amount.batch)
        for task, done in run(begin(tasks[: amount.trials - ended]), report):
            ended += 1
            report(task, tell(study, task, done), 0.0)


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
        pruned=len(finished_trials(study)) - len(complete),
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


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
