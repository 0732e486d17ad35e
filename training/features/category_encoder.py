"""Name encoder: categories and brands as one-hot columns, or hashed columns when there are too many names.

Arrives: groups of names (the categories or the brand of an item). Leaves: `NameEncoder`, fitted on the items of the
training window. Next: `training.features.items` joins its columns with the other features.

Hashing needs no vocabulary, so a new name has a column immediately, but two names may share a column. One-hot columns
never collide, but a new name has no column.
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
    """Both encodings have `dim` columns, so the shape of a model does not depend on the number of names."""

    dim: int
    vocabulary: list[str] | None
    """The name of each of the first columns; None: hashed."""

    @classmethod
    def fit(cls, names: Sequence[Sequence[str]], *, dim: int, encoding: Encoding) -> Self:
        """Fit an encoder with `dim` columns. `one-hot` with more than `dim` names falls back to hashing."""
        known = sorted({name for group in names for name in group})
        return cls(dim, known if encoding == "one-hot" and len(known) <= dim else None)

    def transform(self, names: Sequence[Sequence[str]]) -> Tensor:
        """Return unit rows [len(names), dim]. A group without a known name has a zero row."""
        if self.vocabulary is None:
            return hashed(names, self.dim)
        column = {name: index for index, name in enumerate(self.vocabulary)}
        rows = torch.zeros(len(names), self.dim)
        for row, group in enumerate(names):
            rows[row, [column[name] for name in group if name in column]] = 1.0
        return torch.nn.functional.normalize(rows, dim=1)

    def state(self) -> dict[str, Any]:
        """Return the state: a number and a list of names."""
        return {"dim": self.dim, "vocabulary": self.vocabulary}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Restore an encoder from its state."""
        vocabulary = state["vocabulary"]
        return cls(int(state["dim"]), None if vocabulary is None else list(vocabulary))
