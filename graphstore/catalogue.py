"""What a snapshot and a model know of the items, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Catalogue:
    """What the shop knows of the items, row i of every list being item i of the snapshot."""

    titles: list[str]
    categories: list[list[str]]
    brands: list[str]
    prices: npt.NDArray[np.float32]  # [num_items], NaN where unknown
    available: npt.NDArray[np.bool_]  # [num_items]

    def picked(self, rows: Sequence[int | None]) -> Self:
        """The items at these rows, in this order; None for one of which nothing is known and which is not available."""
        return type(self)(
            titles=["" if row is None else self.titles[row] for row in rows],
            categories=[[] if row is None else self.categories[row] for row in rows],
            brands=["" if row is None else self.brands[row] for row in rows],
            prices=np.array([np.nan if row is None else self.prices[row] for row in rows], dtype=np.float32),
            available=np.array([row is not None and bool(self.available[row]) for row in rows], dtype=np.bool_),
        )
