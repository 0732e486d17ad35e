"""Ray tasks: does the tasks of a job in worker processes, on one machine or on many.

Arrives: a job, and its tasks. Leaves: the result of each task, and what each worker has done. Next:
`training.export.ray_blocks` and `serving.ray_lists` make lists with it, `training.search.ray_trials` runs trials.

A worker gets the job and one task, and returns a `TaskDone`. Ray carries all of them with pickle, so they hold paths,
ids and numbers. Models and snapshots are not sent: each worker opens the files by their paths, once, and refuses files
that are not those of the caller (`training.cluster.shared_files`). A result depends on nothing else, so a task that is
done again after its worker has died is the same. A few tasks for each worker are on their way at once; the others wait,
so the memory of the caller does not grow with their number.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

from graphstore.errors import UserError
from training.benchmark.isolated import peak_rss_mb

Job = TypeVar("Job")
Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD = 2
"""Short tasks on their way for each worker: one that is made, and one that waits for its turn."""

MAX_RETRIES = 3
"""A task whose worker dies is done again so many times: a task that kills its worker each time ends the job."""

LOOK_SECONDS = 1.0
"""While no result comes, the caller looks around after this time."""


class RayFailed(UserError):
    """A task could not be done: its workers died, or a worker sees other files than the caller."""


@dataclass(frozen=True)
class TaskDone(Generic[Result]):
    """The result of one task, and what made it."""

    result: Result
    node: str
    """The address of the machine."""
    pid: int
    peak_rss_mb: float
    """Peak memory of the worker until now, in MB of 10⁶ bytes."""


@dataclass
class Worker:
    """What one worker process has done. `peak_rss_mb` is in MB of 10⁶ bytes, with everything that it has opened."""

    node: str
    pid: int
    tasks: int = 0
    peak_rss_mb: float = 0.0


@dataclass
class Workers:
    """Everybody who has done a task. A worker that has died is only there if it had finished one."""

    known: dict[tuple[str, int], Worker] = field(default_factory=dict)

    def note(self, done: TaskDone[Any]) -> None:
        """Count a task for its worker."""
        worker = self.known.setdefault((done.node, done.pid), Worker(done.node, done.pid))
        worker.tasks += 1
        worker.peak_rss_mb = max(worker.peak_rss_mb, round(done.peak_rss_mb, 1))

    def peak_mb_by_node(self) -> dict[str, float]:
        """Return the sum of the workers' peaks on each machine: it bounds what they had at any one time."""
        peaks: dict[str, float] = {}
        for worker in self.known.values():
            peaks[worker.node] = round(peaks.get(worker.node, 0.0) + worker.peak_rss_mb, 1)
        return peaks

    def lines(self) -> list[str]:
        """Return a line for each machine: the peak memory of its workers."""
        lines = []
        for node, peak in self.peak_mb_by_node().items():
            own = [worker for worker in self.known.values() if worker.node == node]
            largest, tasks = max(worker.peak_rss_mb for worker in own), sum(worker.tasks for worker in own)
            memory = f"peak memory {peak:,.0f} MB in {len(own)} workers, {largest:,.0f} MB in the largest"
            lines.append(f"{node}: {memory}, {tasks:,} tasks")
        return lines


@dataclass(frozen=True)
class RayTasks:
    """How tasks are handed out."""

    at_once: int
    """How many tasks are on their way at once: what runs, and what waits for a free worker."""
    workers: Workers
    """Learns who has done which task."""
    look: Callable[[], None] = lambda: None
    """Called while no result comes. What it raises ends the job."""
    in_order: bool = True
    """Whether the results come in the order of the tasks, or as they are ready."""

    def results(
        self, function: Callable[[Job, Task], Result], job: Job, tasks: Iterable[Task], *, name: Callable[[Task], str]
    ) -> Iterator[tuple[Task, Result]]:
        """Yield each task with its result, made by the Ray that this process is connected to.

        Args:
            function: Does a task in a worker. Ray finds it by the name of its module.
            job: What all tasks have in common.
            tasks: What to do. The next one is taken when a result has come.
            name: Says in a message which task has no result.

        Raises:
            RayFailed: The worker of a task died `MAX_RETRIES` + 1 times. Errors of `function` are raised as they are,
                and are not tried again.
        """
        import ray

        remote = ray.remote(num_cpus=1, max_retries=MAX_RETRIES, retry_exceptions=False)(_do)
        waiting, shared = iter(tasks), ray.put(job)  # sent once to each machine, not with each task
        handed = {remote.remote(function, shared, task): task for task in islice(waiting, self.at_once)}
        while handed:
            first = next(iter(handed))
            ready, _ = ray.wait([first] if self.in_order else list(handed), timeout=LOOK_SECONDS)
            if not ready:
                self.look()
                continue
            task = handed.pop(ready[0])
            done: TaskDone[Result] = _fetch(ready[0], name(task))
            self.workers.note(done)
            handed.update((remote.remote(function, shared, later), later) for later in islice(waiting, 1))
            yield task, done.result


def _do(function: Callable[[Job, Task], Result], job: Job, task: Task) -> TaskDone[Result]:
    """Do one task: this runs in a worker."""
    from ray.util import get_node_ip_address

    return TaskDone(function(job, task), get_node_ip_address(), os.getpid(), peak_rss_mb())


def _fetch(promised: Any, name: str) -> Any:
    """Return what a task has returned, or raise what it has raised."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(promised)
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        reason = str(error).strip().partition("\n")[0]
        raise RayFailed(f"{name} has no result after {MAX_RETRIES + 1} tries: {reason}") from error
