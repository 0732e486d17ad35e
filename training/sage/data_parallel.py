"""Data-parallel fit of GraphSAGE: several processes compute the weights of a single-process fit.

Arrives: the same log, features and settings in each process, and a `ProcessGroup`. Leaves: the same `SageTerm` in each
process. Next: `training.models.sage_only` makes a model of it, `sagestream train-distributed` runs it.

Each process has the whole graph. All have equal random generators, so they sample the same graph, negatives and batch.
A process scores its own part of the batch. Gradients are weighted by the share of positives and summed, and all
optimisers take the same step. The sum has another order than in one process, so weights are equal up to rounding. Each
process computes the whole item tower; only the user part of a step is divided.

Rejected: `DistributedDataParallel`, because it divides by the number of processes and not by positives, and its buckets
cost more than one sum over all gradients of such a small model.

Only the softmax loss is supported: the pairwise losses divide by the number of all pairs, which one process does not
know.
"""

import hashlib
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import IntArray
from training.config import SageConfig
from training.data.event_log import EventLog
from training.data.windows import Window
from training.options import TrainingOptions
from training.sage.baskets import Baskets
from training.sage.checkpoint import fingerprint
from training.sage.fit import fit_sage
from training.sage.process_group import ProcessGroup, ProcessGroupError
from training.sage.term import SageTerm
from training.sage.trainer import Trainer


class DataParallelTrainer(Trainer):
    """A trainer that computes one part of each step. The other processes compute the other parts."""

    def __init__(self, *arguments: Any, group: ProcessGroup, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._group = group

    def own_part(self, chosen: IntArray) -> IntArray:
        """Return this process' equal part of consecutive baskets. A process without a part gets the first basket."""
        own = np.array_split(chosen, self._group.size)[self._group.rank]
        return own if len(own) else chosen[:1]

    def loss(self, baskets: Baskets, chosen: IntArray) -> Tensor:
        """Return this process' share of the loss. The sum over all processes is the loss of the batch."""
        positives = baskets.target_offsets[chosen + 1] - baskets.target_offsets[chosen]
        own = np.array_split(positives, self._group.size)[self._group.rank]
        shared: Tensor = super().loss(baskets, chosen) * float(own.sum() / positives.sum())
        return shared

    def reduce_loss(self, loss: float) -> float:
        """Sum all gradients and the loss over the processes in one message, and return the loss."""
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        message = torch.cat([*(gradient.flatten() for gradient in gradients), torch.tensor([loss])])
        self._group.all_reduce(message)
        totals = torch.split(message[:-1], [gradient.numel() for gradient in gradients])
        for gradient, total in zip(gradients, totals, strict=True):
            gradient.copy_(total.view_as(gradient))
        return float(message[-1])


def fit_data_parallel(
    log: EventLog,
    features: Tensor,
    *,
    config: SageConfig,
    options: TrainingOptions,
    group: ProcessGroup,
    validation: Window | None = None,
) -> SageTerm:
    """Run `fit_sage` with steps that are divided between the processes of a group.

    Each process calls it with the same arguments. Each process evaluates on the validation window, with equal results.

    Args:
        log: the events.
        features: [num_items, width] item features.
        config: settings; `loss` must be "softmax".
        options: seed, progress and checkpoint.
        group: the process group.
        validation: the window for early stopping, or None.

    Raises:
        ProcessGroupError: arguments or final weights differ between processes, a process is gone or late, or the loss
            is not the softmax.
        ValueError: see `fit_sage`.
    """
    if config.loss != "softmax":
        raise ProcessGroupError(f"a fit of several processes takes the softmax loss, not {config.loss}")
    mark = fingerprint(log, features, validation, config=config, seed=options.seed)
    group.check_equal(bytes.fromhex(mark), "data set or settings")
    term = fit_sage(
        log,
        features,
        config=config,
        options=options,
        validation=validation,
        make_trainer=partial(DataParallelTrainer, group=group),
    )
    group.check_equal(_digest(term), "result")
    return term


def _digest(term: SageTerm) -> bytes:
    """Return the SHA-256 of all weights."""
    total = hashlib.sha256()
    for weight in term.model.state_dict().values():
        total.update(weight.detach().contiguous().numpy().tobytes())
    return total.digest()
