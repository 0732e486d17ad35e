"""Trials that the workers of a Ray run are those of one process, bit for bit, also when a worker is killed."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from graphstore.session import write
from graphstore.snapshots.files import load_snapshot
from tests.training import toy_shop
from tests.training.ray_workers import OF_RAY_KILLS, hang_once, killed_worker
from tests.training.search.test_objective import CONFIG, snapshot_of
from training.cluster.ray_tasks import RayFailed, Workers
from training.cluster.shared_files import SharedFiles
from training.search.drawn_trial import RunTasks, TrialDone, TrialTask, TuningInterrupted, trials_here
from training.search.objective import Objective
from training.search.ray_trials import RayTrials, TuningJob, trial_of
from training.search.tune import Amount, open_study, outcome, run_trials

pytestmark = OF_RAY_KILLS

TRIALS = 7
BATCH = 3
FATAL = 4
"""The trial whose worker is killed."""


def hold(job: TuningJob, task: TrialTask) -> TrialDone:
    """Run a trial; the first worker of the fatal one leaves its pid in a file and works without an end."""
    done = trial_of(job, task)
    if task.number == FATAL:
        hang_once(job.files.paths[0].parents[1] / "pid")
    return done


@pytest.fixture
def job(sqlite_engine: Engine, tmp_path: Path) -> TuningJob:
    with write(sqlite_engine) as connection:
        toy_shop.open_shop(connection, days=10)
    files = SharedFiles.of(snapshot_of(sqlite_engine, tmp_path / "snapshots").path)
    return TuningJob(files, config=CONFIG, seed=0)


@pytest.fixture
def objective(job: TuningJob) -> Objective:
    return Objective.of(load_snapshot(job.files.paths[0]), config=job.config, seed=job.seed)


def study_by(run: RunTasks, file: Path, objective: Objective, trials: int = TRIALS) -> tuple[list[Any], Any]:
    """Every trial of the study, and the outcome, after so many more."""
    with open_study(file, objective) as study:
        with suppress(TuningInterrupted):
            run_trials(study, objective, Amount(trials, BATCH), run=run, progress=lambda _line, _share: None)
        rows = [(one.number, one.params, one.value, one.state, one.intermediate_values) for one in study.trials]
        return rows, outcome(study, objective)


def here(objective: Objective) -> RunTasks:
    return partial(trials_here, objective, stopped=lambda: False)


def test_a_study_is_that_of_one_process_also_when_a_worker_is_killed(
    job: TuningJob, objective: Objective, at_once: int, tmp_path: Path
) -> None:
    assert at_once == 2
    expected = study_by(here(objective), tmp_path / "one.db", objective)
    workers = Workers()
    by_ray = RayTrials(job, at_once, workers, stopped=lambda: False, trial=hold)
    with killed_worker(tmp_path / "pid"):
        assert study_by(by_ray.run, tmp_path / "two.db", objective) == expected
    assert sum(worker.tasks for worker in workers.known.values()) == TRIALS
    assert all(worker.peak_rss_mb > 50 for worker in workers.known.values())


def test_what_is_interrupted_keeps_its_finished_trials_and_goes_on(
    job: TuningJob, objective: Objective, at_once: int, tmp_path: Path
) -> None:
    """Two trials of three have ended when the user stops the call: the third never ends."""
    workers = Workers()

    def stopped() -> bool:
        return sum(worker.tasks for worker in workers.known.values()) == FATAL + 1

    by_ray = RayTrials(job, at_once, workers, stopped=stopped, trial=hold)
    rows, _ = study_by(by_ray.run, tmp_path / "study.db", objective)
    assert [value is None for _, _, value, *_ in rows] == [number == FATAL for number in range(BATCH * 2)]
    on = study_by(here(objective), tmp_path / "study.db", objective, TRIALS - len(rows) + 1)
    assert on == study_by(here(objective), tmp_path / "whole.db", objective)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda files: replace(files, fingerprint="0" * 64), "other files in"),
        (lambda files: replace(files, directories=("/away",)), "each machine needs the files at the same path"),
    ],
)
def test_a_worker_with_other_files_runs_no_trial(
    job: TuningJob,
    objective: Objective,
    at_once: int,
    tmp_path: Path,
    other: Callable[[SharedFiles], SharedFiles],
    said: str,
) -> None:
    by_ray = RayTrials(replace(job, files=other(job.files)), at_once, Workers(), stopped=lambda: False)
    with pytest.raises(RayFailed, match=said):
        study_by(by_ray.run, tmp_path / "study.db", objective)
