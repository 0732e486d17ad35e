"""Whose embedding a shopper gets."""

from dataclasses import replace

import numpy as np
import torch

from tests.training.checkerboard import DAY_MS, checkerboard
from training.baselines.factors import OWN, Factors, UserFingerprints


def test_the_roster_knows_who_has_not_moved_since():
    log = checkerboard()
    fingerprints = UserFingerprints(log)
    users = np.array([7, 3, 39, 0])
    assert fingerprints.rows(log.histories(users)).tolist() == users.tolist()
    assert fingerprints.rows(log.histories(users, before=5 * DAY_MS)).tolist() == [-1] * 4
    assert fingerprints.rows(log.histories(users, before=0)).tolist() == [-1] * 4
    assert UserFingerprints(log.between(end=0)).rows(log.histories(users)).tolist() == [-1] * 4


def test_the_roster_does_not_mind_the_order_of_ties():
    log = checkerboard(num_items=60, bought=9)  # no two users took the same
    tied = replace(log, times=np.zeros_like(log.times))
    backwards = replace(tied, users=tied.users[::-1].copy(), items=tied.items[::-1].copy())
    users = np.arange(40)
    assert UserFingerprints(tied).rows(backwards.histories(users)).tolist() == users.tolist()


def test_own_embedding_or_the_decayed_mean_of_items():
    log = checkerboard()
    rng = torch.Generator().manual_seed(0)
    factors = Factors(
        users=torch.randn(40, 3, generator=rng),
        items=torch.randn(24, 3, generator=rng),
        bias=torch.randn(24, generator=rng),
        fingerprints=UserFingerprints(log),
    )
    whole, part = log.histories(np.array([5])), log.histories(np.array([5]), before=2 * DAY_MS)
    first, second = part.items
    assert factors.profile == OWN
    torch.testing.assert_close(factors(whole, as_of=0)[0], factors.items @ factors.users[5] + factors.bias)
    mean = (factors.items[first] + factors.items[second]) / 2
    torch.testing.assert_close(factors(part, as_of=0)[0], factors.items @ mean + factors.bias)
    recent = (factors.items[first] * 0.5 + factors.items[second]) / 1.5
    torch.testing.assert_close(factors.with_profile(1.0)(part, as_of=0)[0], factors.items @ recent + factors.bias)
    nobody = factors(log.histories(np.array([5]), before=0), as_of=0)
    torch.testing.assert_close(nobody[0], factors.bias)
    assert factors.num_parameters == 40 * 3 + 24 * 3 + 24
