"""Names: texts as integers, because a million texts take longer to group than a million integers.

Arrives: the texts of impressions. Leaves: their integers, and the texts again. Next: `shown`, `segments`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from graphstore.arrays import IntArray


class Names:
    """Texts as integers, in the order of their arrival."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def codes(self, names: Iterable[str]) -> IntArray:
        """Return the integer of each text [n]; new texts get the next ones."""
        listed = list(names)
        for name in sorted(set(listed) - self._codes.keys()):
            self._codes[name] = len(self._codes)
        return np.fromiter(map(self._codes.__getitem__, listed), dtype=np.int64, count=len(listed))

    def known(self, names: Iterable[str]) -> IntArray:
        """Return the integer of each text [n], -1 for unknown ones."""
        return np.array([self._codes.get(name, -1) for name in names], dtype=np.int64)

    def texts(self) -> list[str]:
        """Return all texts; the integer of a text is its index."""
        return list(self._codes)


@dataclass
class Vocabulary:
    """The names of a whole span, which all its pieces share."""

    persons: Names = field(default_factory=Names)
    models: Names = field(default_factory=Names)
    slots: Names = field(default_factory=Names)
    variants: Names = field(default_factory=Names)
    sources: Names = field(default_factory=Names)
    items: Names = field(default_factory=Names)
