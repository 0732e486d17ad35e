"""Rows that are no events: counted by reason, and told one by one as far as somebody wants to see them.

Arrives: a reason, where the row stands, and its text. Leaves: counts, and `Rejection`s. Next: the command line shows
the first of each reason, and writes all of them to a file.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

MAX_ROW_CHARACTERS = 1000
"""Of a longer row no more is told."""


@dataclass(frozen=True)
class Rejection:
    """One row; `place` is the number (from 1) of its `unit`: a line of text, a row of Parquet, a member of JSON."""

    path: str
    unit: str
    place: int
    reason: str
    row: str


@dataclass
class Rejections:
    """Counts by reason. `tell` gets the first `shown` of each reason, or all where that is None."""

    tell: Callable[[Rejection], None] | None = None
    shown: int | None = 0
    counts: Counter[str] = field(default_factory=Counter)

    def room(self, reason: str, more: int) -> int:
        """Of so many more of a reason: how many will be told."""
        if self.tell is None:
            return 0
        return more if self.shown is None else min(max(self.shown - self.counts[reason], 0), more)

    def add(self, path: Path | str, unit: str, place: int, reason: str, row: str) -> None:
        """One more."""
        if self.room(reason, 1) and self.tell is not None:
            self.tell(Rejection(str(path), unit, place, reason, row[:MAX_ROW_CHARACTERS]))
        self.counts[reason] += 1
