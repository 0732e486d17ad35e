"""Batches: draws the trials of a study, and tells it how they have ended.

Arrives: a study, an `Objective`, the size of a batch. Leaves: the `TrialTask`s that are to run next. Next:
`training.search.tune` runs them.

A tree-structured Parzen estimator draws the trials (Bergstra et al., 2011). A trial ends early when GraphSAGE alone is
below the median of the others at the same step.

All trials of a batch are drawn before any of it runs. Draws and medians depend on the seed and on the trials of earlier
batches alone, so the trials of a batch come to the same results one after the other and at once, on Ray. In batches of
one, each trial learns from all before it. The larger the batches, the less do trials learn from each other.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from training.evaluation.ranking import METRIC
from training.search.drawn_trial import TrialDone, TrialTask
from training.search.model_search import BASKETS, CHOICES, RECENT
from training.search.objective import Objective

FIRST: dict[str, dict[str, Any]] = {"default": {}, "choices": CHOICES, "baskets": BASKETS, "recent": RECENT}
"""The first trials, before any draw: the default, and the shapes of the benchmark's search."""

STARTUP_TRIALS = 6
"""Number of finished trials after which draws use the results."""

PRUNE_FROM_TRIALS = 4
PRUNE_FROM_EVALUATIONS = 4

EARLIER = "earlier"
"""The attribute of a trial that says how many had finished when its batch was drawn."""


def next_batch(study: Study, objective: Objective, size: int) -> list[TrialTask]:
    """Return the trials of the last batch that have not ended. If all have, draw the next batch of this size."""
    finished, drawn = finished_trials(study), drawn_trials(study)
    earlier: int = drawn[0].user_attrs[EARLIER] if drawn else len(finished)
    if earlier == len(finished):  # nothing of this batch has finished: its draws may not know of each other's results
        for place in range(len(drawn), size):
            _draw(study, objective, earlier, place)
        drawn = drawn_trials(study)
    medians = _medians(objective, finished[:earlier])
    return [_task(objective, trial, medians) for trial in drawn]


def _draw(study: Study, objective: Objective, earlier: int, place: int) -> None:
    """Add the next trial of `FIRST` that is not in the study, else a draw."""
    there = {trial.user_attrs.get("shape") for trial in (*finished_trials(study), *drawn_trials(study))}
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))  # enqueued by a call that was killed
    missing = [name for name in FIRST if name not in there]
    if missing and not waiting:
        study.enqueue_trial(objective.space.params(**FIRST[missing[0]]), user_attrs={"shape": missing[0]})
    # One sampler for each trial, so its draw does not depend on the number of calls before.
    draws = np.random.SeedSequence([objective.seed, earlier + place]).generate_state(1)
    study.sampler = TPESampler(n_startup_trials=STARTUP_TRIALS, seed=int(draws[0]))
    study.ask(objective.space.distributions).set_user_attr(EARLIER, earlier)


def _task(objective: Objective, trial: FrozenTrial, medians: dict[int, float]) -> TrialTask:
    shape = trial.user_attrs.get("shape")
    title = f"trial {trial.number}{f' ({shape})' if shape else ''}"
    if shape == "default":  # it runs to its end: gains are told against it
        return TrialTask(trial.number, title, objective.config, {})
    return TrialTask(trial.number, title, objective.space.config(trial.params), medians)


def _medians(objective: Objective, earlier: Sequence[FrozenTrial]) -> dict[int, float]:
    """Return the median of the complete trials at each step at which a trial may end early."""
    complete = [trial.intermediate_values for trial in earlier if trial.state == TrialState.COMPLETE]
    if len(complete) < PRUNE_FROM_TRIALS:
        return {}
    warm_up = PRUNE_FROM_EVALUATIONS * objective.config.sage.evaluate_every
    steps = sorted({step for values in complete for step in values if step >= warm_up})
    return {step: float(np.percentile([values[step] for values in complete if step in values], 50)) for step in steps}


def tell(study: Study, task: TrialTask, done: TrialDone) -> str:
    """Tell the study how a trial has ended, and return it in words."""
    known = study.get_trials(deepcopy=False)[task.number]
    trial = Trial(study, known._trial_id)
    for step, ndcg in done.evaluations.items():
        if step not in known.intermediate_values:  # else told by a call that was killed
            trial.report(ndcg, step)
    if done.value is None:
        study.tell(task.number, state=TrialState.PRUNED)
        return f"ended early, {done.early}"
    study.tell(task.number, done.value)
    return f"{METRIC} {done.value:.4f}, the best so far {study.best_value:.4f}"


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials that count, in the order in which they were drawn."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def drawn_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials that were drawn and have not ended."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
