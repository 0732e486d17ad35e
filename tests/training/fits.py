"""Fits of a known quality, in a module of their own so that another process can import them."""

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphstore.progress import Progress
from training.config import TrainingConfig
from training.data.dataset import TooFewEvents
from training.data.event_log import AsOf, Histories
from training.data.splits import EvaluationSplit
from training.evaluation.ranking import Scorer
from training.options import TrainingOptions


@dataclass(frozen=True)
class Known:
    """A table of scores by the parity of what a shopper had."""

    num_items: int
    noise: Tensor
    parity: float
    num_parameters: int = 3
    settings: dict[str, Any] = field(default_factory=lambda: {"half_life": float("inf")})
    parts: dict[str, Scorer] = field(default_factory=dict)

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        scores = self.noise.repeat(len(histories), 1)
        own = torch.from_numpy(histories.items % 2).float()
        for user in range(len(histories)):
            mine = own[histories.offsets[user] : histories.offsets[user + 1]]
            if len(mine):
                scores[user, int(mine[0]) :: 2] += self.parity
        return scores


def _noise(split: EvaluationSplit, seed: int) -> Tensor:
    return torch.rand(split.num_items, generator=torch.Generator().manual_seed(seed))


def knowing(split: EvaluationSplit, options: TrainingOptions) -> Known:
    """Knows the checkerboard, not the item."""
    options.progress("knowing: half", 0.5)
    return Known(split.num_items, _noise(split, options.seed), parity=2.0)


def guessing(split: EvaluationSplit, options: TrainingOptions) -> Known:
    """Knows nothing."""
    return Known(split.num_items, _noise(split, options.seed + 100), parity=0.0)


def fixed(split: EvaluationSplit, options: TrainingOptions) -> Known:
    """Knows nothing, and has no chance in it."""
    return Known(split.num_items, torch.arange(split.num_items) / split.num_items, parity=0.0)


def with_part(split: EvaluationSplit, options: TrainingOptions) -> Known:
    """Knows the checkerboard, and shows beside it what it would be without."""
    whole, part = (knowing(split, options), guessing(split, options))
    return Known(whole.num_items, whole.noise, parity=2.0, parts={"without-parity": part})


def fit_best(
    split: EvaluationSplit,
    features: Tensor | None,
    *,
    config: TrainingConfig,
    options: TrainingOptions,
    budget_seconds: float,
) -> Known:
    """In the place of our model's own search."""
    found = with_part(split, options)
    found.settings["width"] = 0 if features is None else features.size(1)
    found.settings["budget_seconds"] = budget_seconds
    return found


def not_finite(split: EvaluationSplit, options: TrainingOptions) -> Known:
    """Scores that are no numbers."""
    return Known(split.num_items, torch.full((split.num_items,), torch.nan), parity=0.0)


def failing(split: EvaluationSplit, options: TrainingOptions) -> Known:
    """Cannot be fitted."""
    raise ValueError("singular matrix")


def dying(split: EvaluationSplit, options: TrainingOptions) -> Known:
    """Takes its process with it."""
    os._exit(3)


_marks: list[str] = []


def mark() -> None:
    """Prepares a process: `marked` sees it."""
    _marks.append("prepared")


def marked(_progress: Progress) -> tuple[int, bool]:
    """The process, and whether it was prepared."""
    return os.getpid(), _marks == ["prepared"]


def echo(number: int, progress: Progress) -> tuple[int, str | None]:
    """For the process alone: what it was given, and its threads."""
    progress("half", 0.5)
    return number, os.environ.get("OMP_NUM_THREADS")


def failing_call(progress: Progress) -> None:
    """Raises."""
    raise ValueError("singular matrix")


def refusing_call(progress: Progress) -> None:
    """Refuses."""
    raise TooFewEvents("too few events")


def orphaning_call(progress: Progress) -> None:
    """Forks a process that lives on with everything that this one has open, says its number, and dies."""
    orphan = os.fork()
    if orphan == 0:
        signal.pause()
    progress(str(orphan), 0.0)
    os.kill(os.getpid(), signal.SIGKILL)


def endless_call_that_clears_up(marker: Path, progress: Progress) -> None:
    """At SIGTERM it deletes the file, and ends."""
    marker.touch()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        endless_call(progress)
    finally:
        marker.unlink()


def endless_call(progress: Progress) -> None:
    """Says which process it is, and computes on."""
    progress(str(os.getpid()), 0.0)
    while True:
        torch.ones(100, 100) @ torch.ones(100, 100)
