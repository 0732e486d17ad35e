"""Ray group: fits GraphSAGE alone with several processes that Ray Train starts, on one machine or on many.

Arrives: the path of a snapshot. Leaves: the model that one process fits, up to rounding, and its measures. Next:
`sagestream train-distributed` writes its bundle, as after `torchrun`.

Ray Train starts the processes and joins them into a group of torch; `training.sage.data_parallel` divides the steps.
When a process dies, Ray Train ends the others, and the whole fit begins again.
"""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
import torch.distributed as dist

from graphstore.snapshots.files import load_snapshot
from training.benchmark.isolated import peak_rss_mb
from training.cluster.ray_tasks import MAX_RETRIES, RayFailed, TaskDone, Workers
from training.cluster.shared_files import SharedFiles
from training.config import TrainingConfig
from training.models.recommender import Recommender
from training.models.sage_only import fit_sage_model
from training.options import TrainingOptions
from training.sage.process_group import ProcessGroup

Fitted = tuple[Recommender, dict[str, Any]]
"""A model, and its measures on the test window."""


@dataclass(frozen=True)
class FitJob:
    """What all processes fit."""

    files: SharedFiles
    """The snapshot."""
    model_version: str
    config: TrainingConfig
    seed: int


def fit_in_group(job: FitJob, group: ProcessGroup) -> Fitted:
    """Fit the model: this runs in each process of the group. Raises the errors of `fit_sage_model`."""
    torch.set_num_threads(job.config.training_threads)
    (snapshot,) = job.files.paths
    return fit_sage_model(
        load_snapshot(snapshot),
        model_version=job.model_version,
        config=job.config,
        options=TrainingOptions(seed=job.seed),
        group=group,
    )


def fit_by_ray(
    job: FitJob,
    *,
    size: int,
    timeout_seconds: float,
    workers: Workers,
    fit: Callable[[FitJob, ProcessGroup], Fitted] = fit_in_group,
) -> Fitted:
    """Fit a model with `size` processes of the Ray that this process is connected to.

    Args:
        job: What to fit.
        size: Number of processes, at most one for each processor of the cluster.
        timeout_seconds: How long one process waits for another.
        workers: Learns who has fitted.
        fit: Fits in each process.

    Raises:
        RayFailed: Processes died `MAX_RETRIES` + 1 times, or one sees other files than the caller. Errors of `fit` are
            raised as they are, and are not tried again.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    with tempfile.TemporaryDirectory(prefix="sagestream-ray-train-") as directory:  # else Ray writes to ~/ray_results
        trainer = TorchTrainer(
            run_in_worker,
            train_loop_config={"job": job, "fit": fit},
            torch_config=TorchConfig(backend="gloo", timeout_s=ceil(timeout_seconds)),
            scaling_config=ScalingConfig(num_workers=size),
            run_config=RunConfig(storage_path=directory, failure_config=FailureConfig(max_failures=MAX_RETRIES)),
        )
        try:
            # In another thread, Ray Train leaves the signals as they are.
            told = ThreadPoolExecutor(1).submit(trainer.fit).result().return_value
        except TrainingFailedError as error:
            reason = str(error).strip().partition("\n")[0]
            raise RayFailed(f"the fit has no result after {MAX_RETRIES + 1} tries: {reason}") from error
    if isinstance(told, BaseException):
        raise told
    fitted: Fitted
    fitted, members = told
    for member in members:
        workers.note(member)
    return fitted


def run_in_worker(given: dict[str, Any]) -> Any:
    """Return the result and the members of the group, or the error: Ray Train would try an error that is raised again.

    Ray Train calls this in each process, with the `job` and what is to `fit`. All of them check their files before any
    waits for another in the fit.
    """
    from ray.util import get_node_ip_address

    job: FitJob = given["job"]
    problem: RayFailed | None = None
    try:
        job.files.checked()
    except RayFailed as error:
        problem = error
    problems = [found for found in _of_all(problem) if found is not None]
    if problems:
        return problems[0]
    group = ProcessGroup(dist.get_rank(), dist.get_world_size())
    try:
        fitted = given["fit"](job, group)
    except Exception as error:  # noqa: BLE001 - `fit_by_ray` raises it
        return error
    members = _of_all(TaskDone(None, get_node_ip_address(), os.getpid(), peak_rss_mb()))
    return (fitted, members) if group.rank == 0 else None


def _of_all(value: Any) -> list[Any]:
    """Return the value of each process, by rank."""
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
