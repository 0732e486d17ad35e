"""Drawn trial: fits and judges one configuration of a study.

Arrives: an `Objective`, and a `TrialTask` with everything else that decides the result. Leaves: `TrialDone`. Next:
`training.search.tune` tells it to the study.

A trial does not know the study, so it comes to the same result in this process (`trials_here`) and in the workers of a
Ray (`training.search.ray_trials`). It ends early by medians that are given to it: those of trials that had ended before
its batch began.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite

from training.config import TrainingConfig
from training.options import FitEvaluation
from training.search.objective import Objective


class TuningInterrupted(Exception):
    """The user stops the call. Trials that have not ended go on in the next call."""


class _EndsEarly(Exception):
    """The trial is not worth its further steps; the message tells why."""


@dataclass(frozen=True)
class TrialTask:
    """One trial to run."""

    number: int
    """In the study."""
    title: str
    config: TrainingConfig
    medians: Mapping[int, float]
    """By step, the median of the others' NDCG@20 of GraphSAGE alone. A trial that is below it ends early."""


@dataclass(frozen=True)
class TrialDone:
    """How a trial has ended."""

    evaluations: dict[int, float]
    """NDCG@20 of GraphSAGE alone after each step at which it was evaluated."""
    value: float | None
    """NDCG@20 of the sum, out of fold. None: the trial ended early."""
    early: str = ""
    """Why it ended early."""


ReportTrial = Callable[[TrialTask, str, float], None]
"""Called with a trial that runs, a line of text, and its finished share (0..1)."""

RunTasks = Callable[[Iterable[TrialTask], ReportTrial], Iterator[tuple[TrialTask, TrialDone]]]
"""Runs trials, and yields each as it ends, in any order. A trial begins when it is taken from the tasks."""


def _ignore(_at: FitEvaluation) -> None:
    """Ignore the evaluation."""


def run_trial(objective: Objective, task: TrialTask, *, look: Callable[[FitEvaluation], None] = _ignore) -> TrialDone:
    """Run one trial. `look` is called with each evaluation of GraphSAGE; what it raises ends the call."""
    evaluations: dict[int, float] = {}

    def judge(at: FitEvaluation) -> None:
        look(at)
        if not isfinite(at.loss):
            raise _EndsEarly("its loss is no number")
        assert at.ndcg is not None
        evaluations[at.step] = at.ndcg
        if max(evaluations.values()) < task.medians.get(at.step, -inf):
            raise _EndsEarly("below the median of the others")

    try:
        value = objective.ndcg(task.config, on_evaluation=judge)
    except _EndsEarly as reason:
        return TrialDone(evaluations, None, str(reason))
    return TrialDone(evaluations, value)


def trials_here(
    objective: Objective, tasks: Iterable[TrialTask], report: ReportTrial, *, stopped: Callable[[], bool]
) -> Iterator[tuple[TrialTask, TrialDone]]:
    """Run the trials one after the other in this process. Raises `TuningInterrupted` at the first evaluation after
    `stopped`."""
    for task in tasks:

        def look(at: FitEvaluation, task: TrialTask = task) -> None:
            end_if(stopped)
            line = f"step {at.step} loss {at.loss:.3f} GraphSAGE alone {at.ndcg:.4f}"
            report(task, line, at.step / task.config.sage.max_steps)

        end_if(stopped)
        yield task, run_trial(objective, task, look=look)


def end_if(stopped: Callable[[], bool]) -> None:
    """Raise `TuningInterrupted` when the user stops the call."""
    if stopped():
        raise TuningInterrupted
