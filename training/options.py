"""Options of a fit beside its data and settings: seed, progress, checkpoint, and a callback for evaluations.

Arrives: a seed and callbacks. Leaves: `TrainingOptions`. Next: every fit, such as `training.sage.fit`,
`training.baselines` and `training.lifecycle.trial`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

from graphstore.progress import Progress


class FitEvaluation(NamedTuple):
    """Loss and NDCG of a fit after `step` steps."""

    step: int
    loss: float
    """Mean over the steps since the previous evaluation."""
    ndcg: float | None
    """NDCG@20 of GraphSAGE alone, with averaged weights, on the validation window. None without a window."""


def ignore_progress(_line: str, _share: float) -> None:
    """Ignore the progress."""


def never() -> bool:
    """Return false."""
    return False


@dataclass(frozen=True)
class TrainingOptions:
    """Options of any fit. A fit ignores the fields that it does not need."""

    seed: int
    """Equal seeds give equal results when the number of threads is the same."""
    progress: Progress = ignore_progress
    """Called with a line of text and the finished share of the fit (0..1)."""
    checkpoint: Path | None = None
    """File for the state of a long fit, which resumes from it after a kill. None: no checkpoint is written."""
    on_evaluation: Callable[[FitEvaluation], None] | None = None
    """Called with each evaluation of a fit. An exception that it raises ends the fit."""

    enough: Callable[[], bool] = never
    """Asked after each evaluation on a window. When it is true, the fit ends with its best weights so far."""

    def part(self, first: float, last: float, title: str = "") -> Self:
        """Return the options of one part, whose progress covers `first` to `last`. Its lines begin with `title`."""
        whole = self.progress
        before = f"{title}: " if title else ""
        return replace(self, progress=lambda line, share: whole(before + line, first + (last - first) * share))
