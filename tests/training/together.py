"""Functions of a job called in processes of their own, as `torchrun` would start them, with bounded waits."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sagestream.playground.embedded import LOOPBACK, free_port
from tests.forked import forked
from tests.training.checkerboard import checkerboard
from tests.waiting import wait_until
from training.config import SageConfig
from training.data.event_log import EventLog
from training.data.windows import Window
from training.models.sharded_topk import best_items_of_shards, shard_of
from training.options import TrainingOptions
from training.sage.data_parallel import fit_data_parallel
from training.sage.process_group import ProcessGroup, ProcessGroupError, join_process_group

WAIT_SECONDS = 300.0


def run_together(function: Callable[..., Any], *arguments: Any, size: int, timeout_seconds: float = 60.0) -> list[Any]:
    """Return the result of `function(group, *arguments)` in each of `size` processes: its `ProcessGroupError` when it
    raised, None when the process died."""
    port = free_port()
    found: list[Any] = []
    with ExitStack() as cleanup:
        receivers = []
        for number in range(size):
            receiver, sender = forked.Pipe(duplex=False)
            call = (sender, number, size, port, timeout_seconds, function, arguments)
            process = forked.Process(target=_call, args=call, daemon=True)
            process.start()
            sender.close()
            cleanup.callback(process.join)
            cleanup.callback(process.kill)
            receivers.append(receiver)
        for receiver in receivers:
            if not receiver.poll(WAIT_SECONDS):
                raise TimeoutError(f"no answer within {WAIT_SECONDS} s")
            try:
                found.append(receiver.recv())
            except EOFError:
                found.append(None)
    return found


def _call(
    sender: Connection,
    number: int,
    size: int,
    port: int,
    timeout_seconds: float,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(number), WORLD_SIZE=str(size), MASTER_ADDR=LOOPBACK, MASTER_PORT=str(port))
    try:
        with join_process_group(timeout_seconds=timeout_seconds) as group:
            sender.send(function(group, *arguments))
            group.check_equal(b"0" * 32, "end")  # nobody leaves while another one still reads
    except ProcessGroupError as error:
        sender.send(error)
    sys.stdout.flush()
    os._exit(0)  # a group whose other end is gone may wait for it


LOG = checkerboard(num_users=60)
FEATURES = torch.randn(LOG.num_items, 3, generator=torch.Generator().manual_seed(0))


def fit(group: ProcessGroup, settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The state of a fit with looks at a window: batches of 50 baskets, at the end of a pass fewer."""
    config = SageConfig.model_validate({"dim": 8, "batch_size": 50, "learning_rate": 0.01, **settings})
    past, start = LOG.between(end=int(LOG.times[-60])), int(LOG.times[-60])
    window = Window.cut(LOG, start=start, repeats=False)
    term = fit_data_parallel(
        past, FEATURES, config=config, options=TrainingOptions(seed=3), group=group, validation=window
    )
    return {name: value.numpy() for name, value in term.state().items() if value.is_floating_point()}


def fits(group: ProcessGroup, *settings: dict[str, Any]) -> list[dict[str, torch.Tensor]]:
    """One after the other."""
    return [fit(group, one) for one in settings]


def fit_of_other_events(group: ProcessGroup) -> None:
    """Process 1 has an event less."""
    log: EventLog = LOG.take(slice(0, len(LOG) - group.rank))
    fit_data_parallel(
        log, FEATURES, config=SageConfig(dim=8, max_steps=1), options=TrainingOptions(seed=0), group=group
    )


def fit_until_one_dies(group: ProcessGroup, marker: Path) -> None:
    """Process 1 ends without a word in the middle."""

    def progress(line: str, share: float) -> None:
        if group.rank == 1 and share > 0.2:
            marker.touch()
            os._exit(3)

    config = SageConfig(dim=8, batch_size=50, max_steps=10_000, evaluate_every=5)
    config = config.model_copy(update={"max_steps": 20})
    fit_data_parallel(LOG, FEATURES, config=config, options=TrainingOptions(seed=0, progress=progress), group=group)


def wait_for_a_late_one(group: ProcessGroup, given_up: Path) -> None:
    """Process 1 comes when process 0 has waited in vain."""
    if group.rank == 1:
        wait_until(given_up.exists)
        return
    try:
        group.all_reduce(torch.ones(1))
    finally:
        given_up.touch()


def retrieve(group: ProcessGroup, users: Any, items: Any, bias: Any, offsets: Any, seen: Any, k: int) -> Any:
    """Lists from shards of the items."""
    first, last = shard_of(len(items), group)
    return best_items_of_shards(
        torch.from_numpy(users),
        torch.from_numpy(items[first:last]),
        first=first,
        k=k,
        group=group,
        bias=torch.from_numpy(bias[first:last]),
        seen_offsets=offsets,
        seen_items=np.asarray(seen),
    )
