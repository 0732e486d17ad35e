"""What a snapshot and a model know of the items, as columns."""

from dataclasses import dataclass

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
