"""Item neighbours against the definition, written out."""

import numpy as np
import pytest

from tests.training.checkerboard import DAY_MS, checkerboard, make_log
from training.baselines import neighbours
from training.baselines.neighbours import NeighbourSettings
from training.baselines.profile import decayed_profiles


@pytest.mark.parametrize("cells", [10_000_000, 60])
def test_cosine_of_the_nearest(monkeypatch, cells):
    monkeypatch.setattr(neighbours, "BLOCK_CELLS", cells)
    log = checkerboard()
    settings = NeighbourSettings(neighbours=4, shrinkage=3.0)
    found = neighbours.fit_neighbours(log, settings).similarities.toarray()
    pairs = np.zeros((40, 24))
    pairs[log.users, log.items] = 1.0
    norms = np.linalg.norm(pairs, axis=0)
    wanted = pairs.T @ pairs / (np.outer(norms, norms) + 3.0)
    np.fill_diagonal(wanted, 0.0)
    for item in range(24):
        kept = np.flatnonzero(found[:, item])
        assert len(kept) == 4
        np.testing.assert_allclose(found[kept, item], wanted[kept, item], rtol=1e-5)
        assert wanted[kept, item].min() >= np.sort(wanted[:, item])[-4] - 1e-6


def test_a_decayed_gram_forgets():
    """Items 0 and 1 went together long ago, 0 and 2 lately."""
    rows = [(user, item, 0) for user in range(6) for item in (0, 1)]
    rows += [(user, item, 100 * DAY_MS) for user in range(6, 10) for item in (0, 2)]
    log = make_log(rows, num_users=10, num_items=3)
    plain = neighbours.fit_neighbours(log, NeighbourSettings(shrinkage=0.0)).similarities.toarray()
    decayed = neighbours.fit_neighbours(
        log, NeighbourSettings(shrinkage=0.0, gram_half_life_hours=240.0)
    ).similarities.toarray()
    assert plain[0, 1] > plain[0, 2]
    assert decayed[0, 2] > 10 * decayed[0, 1]


def test_profiles_forget_by_rank_of_distinct_items():
    log = make_log([(0, 3, 1), (0, 5, 2), (0, 3, 3), (1, 5, 1)], num_users=3, num_items=6)
    profiles = decayed_profiles(log.histories(np.arange(3)), 1.0, num_items=6).toarray()
    assert profiles.tolist() == [[0, 0, 0, 1, 0, 0.5], [0, 0, 0, 0, 0, 1], [0] * 6]
