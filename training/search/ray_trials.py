"""Ray trials: runs the trials of a batch in several processes, on one machine or on many.

Arrives: the path of a snapshot, and `TrialTask`s. Leaves: `TrialDone`s. Next: `training.search.tune` tells them to the
study, as those of one process.

Workers never see the study: its file stays with the caller. Each worker fits the closed-form terms of the `Objective`
once, as the caller does. See `training.cluster.ray_tasks` for what workers get, and for workers that die.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

from graphstore.snapshots.files import load_snapshot
from training.cluster.ray_tasks import RayTasks, Workers
from training.cluster.shared_files import SharedFiles
from training.config import TrainingConfig
from training.search.drawn_trial import ReportTrial, TrialDone, TrialTask, end_if, run_trial
from training.search.objective import Objective


@dataclass(frozen=True)
class TuningJob:
    """What all trials of a study have in common."""

    files: SharedFiles
    """The snapshot."""
    config: TrainingConfig
    """The configuration to start from."""
    seed: int


def trial_of(job: TuningJob, task: TrialTask) -> TrialDone:
    """Run one trial: this runs in a worker. Raises `RayFailed` for other files than the caller's."""
    return run_trial(_opened(job), task)


@lru_cache(maxsize=1)
def _opened(job: TuningJob) -> Objective:
    """Open the snapshot of a job and fit the terms, once in a worker."""
    import torch

    torch.set_num_threads(job.config.training_threads)  # as many as the caller's: else the last bits differ
    (snapshot,) = job.files.checked()
    return Objective.of(load_snapshot(snapshot), config=job.config, seed=job.seed)


@dataclass(frozen=True)
class RayTrials:
    """Runs trials by the Ray that this process is connected to: its `run` is a `RunTasks`."""

    job: TuningJob
    at_once: int
    """How many tasks the cluster runs at once."""
    workers: Workers
    """Learns who has run which trial."""
    stopped: Callable[[], bool]
    trial: Callable[[TuningJob, TrialTask], TrialDone] = trial_of
    """Runs a trial in a worker."""

    def run(self, tasks: Iterable[TrialTask], _report: ReportTrial) -> Iterator[tuple[TrialTask, TrialDone]]:
        """Yield the trials as they end. A trial that runs reports nothing.

        Raises `TuningInterrupted` a second after `stopped`, when no trial has ended in that time, and the errors of
        `RayTasks.results`.
        """
        handed = RayTasks(self.at_once, self.workers, partial(end_if, self.stopped), in_order=False)
        return handed.results(self.trial, self.job, tasks, name=lambda task: task.title)
