"""Parts: divides a snapshot's shoppers among several runs, which know nothing of each other.

Arrives: `3/8`, as a user writes it. Leaves: the blocks of the third of eight parts. Next:
`training.export.batch_lists` makes the lists of these blocks alone.

A part is a run of whole blocks in the order of the snapshot, not a choice by a hash of the ids, for three reasons. A
block that is made in a part has the same rows as in one run, so its scores are the same bit for bit. The files of the
parts, one after the other, are the file of one run. And a part reads one run of histories. The parts differ by one
block at most. All runs must name the same snapshot and the same size of a block.
"""

import re
from dataclasses import dataclass
from typing import Self

MAX_PARTS = 100_000
_FORM = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)


class NoPart(ValueError):
    """The text names no part. The message says why, and what to write."""


@dataclass(frozen=True)
class Part:
    """One of `count` parts; `number` is 1 for the first."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `3/8`. Raises `NoPart`."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise NoPart(f"{text!r} is no part: write its number and how many there are, such as 3/8")
        number, count = int(found[1]), int(found[2])
        if not 1 <= count <= MAX_PARTS:
            raise NoPart(f"{text} has no parts: there are between 1 and {MAX_PARTS:,}")
        if not 1 <= number <= count:
            raise NoPart(f"there is no part {number} of {count}: the parts are 1/{count} to {count}/{count}")
        return cls(number, count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, total: int) -> range:
        """Return this part of the numbers 0 … total − 1. Without enough of them, some parts are empty."""
        return range((self.number - 1) * total // self.count, self.number * total // self.count)


WHOLE = Part(1, 1)
"""All in one part."""
