"""The processes that share one job: who is there, sums and collections over all, and an end where one of them dies.

Arrives: the variables that `torchrun` gives each process. Leaves: `ProcessGroup`. Next: `training.sage.data_parallel`
fits with them (`sagestream train-distributed`); `training.models.sharded_topk`, which no verb calls, ranks a catalogue
too large for one process.

On the gloo backend, which every build of torch has and which needs no accelerator. Every call waits for all processes:
one that is gone, or later than the timeout, ends the call with `ProcessGroupError` instead of a wait without end.
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

Result = TypeVar("Result")

REQUIRED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What `torchrun` puts into the environment of each process."""


class ProcessGroupError(RuntimeError):
    """The processes could not come together, one is gone or late, or what they are to do cannot be shared."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process among all of a job; a process by itself is number 0 of 1."""

    number: int = 0
    size: int = 1

    def add_up(self, values: Tensor) -> None:
        """Put the sum over all processes in the place of `values`: the same bits in each of them."""
        if self.size > 1:
            self._together(lambda: dist.all_reduce(values))

    def collect(self, values: Tensor) -> list[Tensor]:
        """The `values` of every process, by its number; they have one shape and type."""
        if self.size == 1:
            return [values]
        parts = [torch.empty_like(values) for _ in range(self.size)]
        self._together(lambda: dist.all_gather(parts, values.contiguous()))
        return parts

    def agree(self, mark: bytes, what: str) -> None:
        """Raises `ProcessGroupError` where not every process brings the same 32 bytes; `what` says what they are of."""
        marks = self.collect(torch.frombuffer(bytearray(mark), dtype=torch.uint8))
        others = [number for number, other in enumerate(marks) if not torch.equal(other, marks[0])]
        if others:
            raise ProcessGroupError(f"process {others[0]} of {self.size} has another {what} than process 0")

    def _together(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except RuntimeError as error:  # gloo knows no other
            reason = str(error).splitlines()[0]
            raise ProcessGroupError(
                f"process {self.number} of {self.size} waited in vain: another one is gone, or too late ({reason})"
            ) from error


@contextmanager
def join_process_group(*, timeout_seconds: float) -> Iterator[ProcessGroup]:
    """This process among those that `torchrun` started, for as long as the block lasts.

    Raises `ProcessGroupError` without its variables, and where not all processes come within the timeout.
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
