"""Rejections: counts rejected rows by reason and reports some or all of them.

Arrives: a reason, the row's position in the file, and its text. Leaves: counts and `Rejection`s. Next: the command line
shows the first rows of each reason and can write all rows to a file.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

MAX_ROW_CHARACTERS = 1000
"""Longer rows are cut in reports."""


@dataclass(frozen=True)
class Rejection:
    """A rejected row. `place` is its number (from 1) in `unit`: a line of text, a row of Parquet, a member of JSON."""

    path: str
    unit: str
    place: int
    reason: str
    row: str


@dataclass
class Rejections:
    """Counts by reason. `tell` is called for the first `shown` rows of each reason; None: for all."""

    tell: Callable[[Rejection], None] | None = None
    shown: int | None = 0
    counts: Counter[str] = field(default_factory=Counter)

    def room(self, reason: str, more: int) -> int:
        """Return how many of `more` rows with this reason will be reported."""
        if self.tell is None:
            return 0
        return more if self.shown is None else min(max(self.shown - self.counts[reason], 0), more)

    def add(self, path: Path | str, unit: str, place: int, reason: str, row: str) -> None:
        """Count one rejected row and report it."""
        if self.room(reason, 1) and self.tell is not None:
            self.tell(Rejection(str(path), unit, place, reason, row[:MAX_ROW_CHARACTERS]))
        self.counts[reason] += 1
