"""Names to columns: one-hot where they fit, hashed where they do not.

Arrives: groups of names (an item's categories, or its brand). Leaves: `NameEncoder`, fitted on the groups of the
training window. Next: `training.features.items` puts its columns beside the others.

Hashing needs no vocabulary, so a new name has its place at once, but two names may share one. One-hot columns are
apart, and a new name has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from graphstore.hashing import hashed
from training.config import Encoding


@dataclass(frozen=True)
class NameEncoder:
    """The width is `dim` in either case, so that a model's shape does not depend on how many names a shop has."""

    dim: int
    vocabulary: list[str] | None
    """The name of each of the first columns; None: hashed."""

    @classmethod
    def fit(cls, names: Sequence[Sequence[str]], *, dim: int, encoding: Encoding) -> Self:
        """`one-hot` holds for at most `dim` names; more are hashed."""
        known = sorted({name for group in names for name in group})
        return cls(dim, known if encoding == "one-hot" and len(known) <= dim else None)

    def transform(self, names: Sequence[Sequence[str]]) -> Tensor:
        """[len(names), dim], rows of length one; zeros for a group without a name, or without a known one."""
        if self.vocabulary is None:
            return hashed(names, self.dim)
        column = {name: place for place, name in enumerate(self.vocabulary)}
        rows = torch.zeros(len(names), self.dim)
        for row, group in enumerate(names):
            rows[row, [column[name] for name in group if name in column]] = 1.0
        return torch.nn.functional.normalize(rows, dim=1)

    def state(self) -> dict[str, Any]:
        """A number and a list of names."""
        return {"dim": self.dim, "vocabulary": self.vocabulary}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The same encoder again."""
        vocabulary = state["vocabulary"]
        return cls(int(state["dim"]), None if vocabulary is None else list(vocabulary))
