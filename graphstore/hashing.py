"""Names as columns without a vocabulary (Weinberger et al., "Feature hashing", 2009).

Arrives: groups of names, as an item's categories. Leaves: one row of unit length for each group. Next:
`graphstore.snapshots.statistics` makes users' profiles of it, `training.features.category_encoder` item features.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import torch


def hashed(names: Sequence[Sequence[str]], dim: int) -> torch.Tensor:
    """Each row's names added up with hashed signs at hashed places, at length one: [len(names), dim] float32.

    A name never seen before has its place at once. A row without names is zero, as is one whose names cancel out.
    """
    codes = np.array([zlib.crc32(name.encode()) for group in names for name in group], dtype=np.int64)
    rows = np.repeat(np.arange(len(names)), [len(group) for group in names])
    signs = np.where(codes & 1, 1.0, -1.0)
    sums = np.bincount(rows * dim + (codes >> 1) % dim, weights=signs, minlength=len(names) * dim)
    return torch.nn.functional.normalize(torch.from_numpy(sums.reshape(len(names), dim)).float(), dim=1)
