"""Feature hashing: names become columns without a vocabulary.

Source: Weinberger et al., "Feature hashing for large scale multitask learning", 2009.

Arrives: groups of names, such as an item's categories. Leaves: one row of unit length for each group. Next:
`graphstore.snapshots.statistics` makes users' profiles, `training.features.category_encoder` makes item features.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import torch


def hashed(names: Sequence[Sequence[str]], dim: int) -> torch.Tensor:
    """Return [len(names), dim] float32: the sum of each group's names, at hashed columns with hashed signs, normalised.

    A new name gets its column without a refit. A group without names is a row of zeros; so is a group whose names
    cancel each other.
    """
    codes = np.array([zlib.crc32(name.encode()) for group in names for name in group], dtype=np.int64)
    rows = np.repeat(np.arange(len(names)), [len(group) for group in names])
    signs = np.where(codes & 1, 1.0, -1.0)
    sums = np.bincount(rows * dim + (codes >> 1) % dim, weights=signs, minlength=len(names) * dim)
    return torch.nn.functional.normalize(torch.from_numpy(sums.reshape(len(names), dim)).float(), dim=1)
