"""Factors: scores from user and item embeddings, with a profile vector for users who have no embedding.

Arrives: the factors that a model has learned. Leaves: a scorer. Next: `training.baselines.factorisation` and
`training.baselines.lightgcn` tune whether a user gets the own embedding or the profile vector.

A scorer gets histories without user ids. When a history equals a user's training history event by event, the user's own
embedding scores it. For new users and users with newer events, the vector is the weighted mean of the item embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphstore.arrays import IntArray, distinct
from training.baselines.profile import HALF_LIVES, decayed_profiles
from training.data.event_log import AsOf, EventLog, Histories

OWN = "own"
"""Profile setting: score known users by their own embedding."""

PROFILES: Sequence[float | str] = (OWN, *HALF_LIVES)
UNTIMED_PROFILES: Sequence[float | str] = (OWN, HALF_LIVES[-1])


class UserFingerprints:
    """Finds a log's users by a fingerprint of their history: the sum of a 64-bit hash of each event."""

    def __init__(self, log: EventLog) -> None:
        users = distinct(log.users)
        prints = _fingerprints(log.histories(users))
        order = np.argsort(prints, kind="stable")
        self._prints, self._users = prints[order], users[order]

    def rows(self, histories: Histories) -> IntArray:
        """Return the user row [B] of each history, −1 for an unknown history."""
        rows = np.full(len(histories), -1, dtype=np.int64)
        if not len(self._prints):
            return rows
        prints = _fingerprints(histories)
        indices = np.minimum(np.searchsorted(self._prints, prints), len(self._prints) - 1)
        found = (self._prints[indices] == prints) & (np.diff(histories.offsets) > 0)
        rows[found] = self._users[indices[found]]
        return rows


@dataclass(frozen=True)
class Factors:
    """Embeddings of users and items, and the profile setting for user vectors."""

    users: Tensor  # [num_users, dim]
    items: Tensor  # [num_items, dim]
    bias: Tensor  # [num_items]
    fingerprints: UserFingerprints
    profile: float | str = OWN
    """`OWN`, or the half-life of the weighted mean of items, in ranks."""

    @property
    def num_parameters(self) -> int:
        return self.users.numel() + self.items.numel() + int(self.bias.count_nonzero())

    def with_profile(self, profile: float | str) -> Self:
        """Return the same embeddings with another profile setting, for tuning after the fit."""
        return replace(self, profile=profile)

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return scores [B, num_items]."""
        own = self.profile == OWN
        half_life = HALF_LIVES[-1] if own else float(self.profile)
        profiles = decayed_profiles(histories, half_life, num_items=len(self.items))
        totals = np.maximum(profiles.sum(axis=1), 1e-9).astype(np.float32)
        vectors = torch.from_numpy(profiles @ self.items.numpy() / totals[:, None])
        if own:
            rows = torch.from_numpy(self.fingerprints.rows(histories))
            vectors = torch.where((rows >= 0)[:, None], self.users[rows.clamp_min(0)], vectors)
        return vectors @ self.items.T + self.bias


def _fingerprints(histories: Histories) -> npt.NDArray[np.uint64]:
    """Return fingerprints [B]. The mixing function is the finaliser of SplitMix64 (Steele, Lea & Flood, 2014)."""
    mixed = histories.items.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + histories.times.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    prints: npt.NDArray[np.uint64] = np.diff(sums[histories.offsets])
    return prints
