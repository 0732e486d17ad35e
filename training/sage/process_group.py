"""Process group: collective operations of the processes in one job, with an error when a process dies.

Arrives: the environment variables of `torchrun`. Leaves: `ProcessGroup`. Next: `training.sage.data_parallel` fits with
it (`sagestream train-distributed`). `training.models.sharded_topk`, which no command calls, ranks a catalogue that is
too large for one process.

The backend is gloo, which each build of torch has and which needs no accelerator. Each call waits for all processes. It
raises `ProcessGroupError` when a process is gone or later than the timeout.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from graphstore.errors import UserError

Result = TypeVar("Result")

REQUIRED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The environment variables that `torchrun` sets in each process."""


class ProcessGroupError(UserError):
    """The group cannot form, a process is gone or late, or the job cannot be divided."""


@dataclass(frozen=True)
class ProcessGroup:
    """The rank of this process and the number of processes. A single process has rank 0 of 1."""

    rank: int = 0
    size: int = 1

    def all_reduce(self, values: Tensor) -> None:
        """Replace `values` by their sum over all processes, equal bit for bit in each process."""
        if self.size > 1:
            self._together(lambda: dist.all_reduce(values))

    def all_gather(self, values: Tensor) -> list[Tensor]:
        """Return the `values` of each process, by rank. All have the same shape and dtype."""
        if self.size == 1:
            return [values]
        parts = [torch.empty_like(values) for _ in range(self.size)]
        self._together(lambda: dist.all_gather(parts, values.contiguous()))
        return parts

    def check_equal(self, mark: bytes, what: str) -> None:
        """Raise `ProcessGroupError` when the 32 bytes of `mark`, which `what` names, differ between processes."""
        marks = self.all_gather(torch.frombuffer(bytearray(mark), dtype=torch.uint8))
        others = [rank for rank, other in enumerate(marks) if not torch.equal(other, marks[0])]
        if others:
            raise ProcessGroupError(f"process {others[0]} of {self.size} has another {what} than process 0")

    def _together(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except RuntimeError as error:  # gloo raises no other type
            reason = str(error).splitlines()[0]
            raise ProcessGroupError(
                f"process {self.rank} of {self.size} waited in vain: another one is gone, or too late ({reason})"
            ) from error


@contextmanager
def join_process_group(*, timeout_seconds: float) -> Iterator[ProcessGroup]:
    """Join the processes that `torchrun` started, until the block ends.

    Raises `ProcessGroupError` when its variables are not set, or when not all processes join within the timeout.
    """
    missing = [name for name in REQUIRED if name not in os.environ]
    if missing:
        raise ProcessGroupError(
            f"{', '.join(missing)} not set: start it as `torchrun --standalone --nproc-per-node 2 -m sagestream …`"
        )
    try:
        dist.init_process_group("gloo", timeout=timedelta(seconds=timeout_seconds))
    except (RuntimeError, ValueError) as error:
        raise ProcessGroupError(f"the processes did not come together: {str(error).splitlines()[0]}") from error
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
