"""GraphSAGE fitted by several processes at once, to the weights that one process finds.

Arrives: the same log, features and settings in every process, `ProcessGroup`. Leaves: the same `SageTerm` in every
process. Next: `training.models.sage_only` makes a model of it, `sagestream train-distributed` runs it.

Data parallel: every process has the graph and draws graph, negatives and batch from one generator, so that all draw the
same. Of each batch it scores its own baskets; gradients are summed, each weighed by its share of the batch's positives,
and every optimiser takes the same step. The sum comes in another order than in one process, so weights agree to
rounding and not to the bit. The item tower is computed by everybody: what is shared out is the users' half of a step.
`DistributedDataParallel` would do the sum too, but divides by the number of processes and not by positives, and its
buckets cost more than one sum over all gradients of a model of this size.

Only for the softmax: the two pairwise losses divide by a number of pairs, of which a process does not know the whole.
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
    """A descent of which this process takes a part of each step."""

    def __init__(self, *arguments: Any, ranks: ProcessGroup, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._ranks = ranks

    def part_of(self, chosen: IntArray) -> IntArray:
        """Consecutive baskets, as many as anybody's; the first of all where there are fewer than processes."""
        own = np.array_split(chosen, self._ranks.size)[self._ranks.number]
        return own if len(own) else chosen[:1]

    def loss(self, baskets: Baskets, chosen: IntArray) -> Tensor:
        """This process' share of the loss: shares add up to the loss of one process."""
        positives = baskets.target_offsets[chosen + 1] - baskets.target_offsets[chosen]
        own = np.array_split(positives, self._ranks.size)[self._ranks.number]
        shared: Tensor = super().loss(baskets, chosen) * float(own.sum() / positives.sum())
        return shared

    def agreed(self, loss: float) -> float:
        """All gradients and the loss, summed over the processes in one message."""
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        message = torch.cat([*(gradient.flatten() for gradient in gradients), torch.tensor([loss])])
        self._ranks.add_up(message)
        totals = torch.split(message[:-1], [gradient.numel() for gradient in gradients])
        for gradient, total in zip(gradients, totals, strict=True):
            gradient.copy_(total.view_as(gradient))
        return float(message[-1])


def fit_shared(
    log: EventLog,
    features: Tensor,
    *,
    config: SageConfig,
    options: TrainingOptions,
    ranks: ProcessGroup,
    validation: Window | None = None,
) -> SageTerm:
    """`fit_sage` with every step shared by `ranks`: called in each process with the same arguments.

    Looks at the validation window are taken by each, and come out the same. Raises `ProcessGroupError` where a process
    was given something else, is gone or late, or ends with other weights, and for another loss than the softmax; and
    what `fit_sage` raises.
    """
    if config.loss != "softmax":
        raise ProcessGroupError(f"a fit of several processes takes the softmax loss, not {config.loss}")
    mark = fingerprint(log, features, validation, config=config, seed=options.seed)
    ranks.agree(bytes.fromhex(mark), "data set or settings")
    term = fit_sage(
        log,
        features,
        config=config,
        options=options,
        validation=validation,
        descent_of=partial(DataParallelTrainer, ranks=ranks),
    )
    ranks.agree(_digest(term), "result")
    return term


def _digest(term: SageTerm) -> bytes:
    """SHA-256 of all weights."""
    total = hashlib.sha256()
    for weight in term.model.state_dict().values():
        total.update(weight.detach().contiguous().numpy().tobytes())
    return total.digest()
