"""What every fit is given beside its data and its settings, and the looks that it gives of itself on the way.

Arrives: a seed and who wants to hear. Leaves: `TrainingOptions`. Next: `training.sage.fit`, `training.baselines`,
`training.lifecycle.trial` and whatever else is trained.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

from graphstore.progress import Progress


class Look(NamedTuple):
    """How a fit stands after so many steps."""

    step: int
    loss: float
    """Mean over the steps since the look before."""
    ndcg: float | None
    """NDCG@20 of the averaged weights, by themselves, on the validation window; None without a window."""


def silent(_line: str, _share: float) -> None:
    """Progress that nobody asked for."""


@dataclass(frozen=True)
class TrainingOptions:
    """One value for everything that can be trained; a fit that has no use for a field passes over it."""

    seed: int
    """Equal seeds give equal results, for one number of threads."""
    progress: Progress = silent
    """Called with a line and the share (0..1) of the fit that is done."""
    checkpoint: Path | None = None
    """The file in which a long fit keeps its state, to go on from it after a kill; None: it keeps no state."""
    on_look: Callable[[Look], None] | None = None
    """Hears of every look that a fit takes, and ends the fit by what it raises."""

    def part(self, first: float, last: float, title: str = "") -> Self:
        """The options of one part: its progress runs from `first` to `last` of the whole, lines begin with `title`."""
        whole = self.progress
        before = f"{title}: " if title else ""
        return replace(self, progress=lambda line, share: whole(before + line, first + (last - first) * share))
