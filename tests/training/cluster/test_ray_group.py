"""A group of processes that Ray Train starts fits what one process fits, also when one of them dies."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from sqlalchemy import Engine

from graphstore.session import write
from graphstore.snapshots.snapshot import build_snapshot
from tests.training.ray_workers import OF_RAY_KILLS
from tests.training.toy_shop import closing_time, open_shop
from training.cluster.ray_group import FitJob, Fitted, fit_by_ray, fit_in_group, run_in_worker
from training.cluster.ray_tasks import RayFailed, Workers
from training.cluster.shared_files import SharedFiles
from training.config import SageConfig, TrainingConfig
from training.features.snapshot_features import featurize
from training.sage.process_group import ProcessGroup

pytestmark = [
    *OF_RAY_KILLS,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),  # Ray warns itself
]

CONFIG = TrainingConfig(sage=SageConfig(dim=8, max_steps=20, evaluate_every=10, learning_rate=0.02))


def die_once(job: FitJob, group: ProcessGroup) -> Fitted:
    """Fit; at the first call, process 1 is killed before the end."""
    marker = job.files.paths[0].parents[1] / "pid"
    dies = group.rank == 1 and not marker.exists()
    fitted = fit_in_group(job, group)
    if dies:
        marker.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return fitted


@pytest.fixture
def job(sqlite_engine: Engine, tmp_path: Path) -> FitJob:
    with write(sqlite_engine) as connection:
        open_shop(connection, days=12)
        now = closing_time(connection)
    snapshot = build_snapshot(sqlite_engine, tmp_path / "snapshots", as_of=now, created_at=now, featurize=featurize)
    return FitJob(SharedFiles.of(snapshot.path), model_version="m1", config=CONFIG, seed=1)


def test_two_workers_fit_what_one_process_fits_also_when_one_dies(job: FitJob, at_once: int, tmp_path: Path) -> None:
    workers = Workers()
    ours, measures = fit_by_ray(job, size=at_once, timeout_seconds=60, workers=workers, fit=die_once)
    alone, expected = fit_in_group(job, ProcessGroup())
    (one,), (two,) = ([term.state() for term in model.terms] for model in (alone, ours))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        if hasattr(weight, "is_floating_point") and weight.is_floating_point():
            np.testing.assert_allclose(two[name].numpy(), weight.numpy(), atol=1e-5, err_msg=name)
    assert measures == pytest.approx(expected, abs=1e-5)
    assert ours.model_version == "m1"
    dead = int((tmp_path / "pid").read_text())
    pids = {worker.pid for worker in workers.known.values()}
    assert len(pids) == at_once == 2
    assert not pids & {dead, os.getpid()}


@pytest.fixture
def joined() -> Iterator[None]:
    """A group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("joined")
def test_a_worker_with_other_files_fits_nothing(job: FitJob) -> None:
    told = run_in_worker({"job": replace(job, files=replace(job.files, fingerprint="0" * 64)), "fit": fit_in_group})
    assert isinstance(told, RayFailed)
    assert "other files in" in str(told)
