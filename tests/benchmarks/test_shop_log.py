"""The synthetic log is one of a shop."""

import numpy as np
import pytest

from benchmarks.shop_log import LogSize, synthetic_log


def test_the_log_is_one_of_a_shop() -> None:
    shop = LogSize(edges=20_000, users=1_000, items=2_000)
    log, again, other = (synthetic_log(shop, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(log.cells, again.cells)
    assert not np.array_equal(log.cells, other.cells)
    assert len(np.unique(log.cells)) == len(log) == 20_000
    assert (np.diff(log.times) >= 0).all()
    counts = np.sort(np.bincount(log.items, minlength=2_000))[::-1]
    assert counts[:200].sum() > 0.4 * len(log)
    assert np.bincount(log.users, minlength=1_000).max() > 3 * 20
    # Shoppers of one taste meet in the same items far more often than any two do.
    taken = np.zeros((1_000, 2_000))
    taken[log.users, log.items] = 1.0
    common = taken @ taken.T
    same = np.arange(1_000)[:, None] % 4 == np.arange(1_000) % 4
    np.fill_diagonal(same, val=False)
    assert common[same].mean() > 2 * common[~same & ~np.eye(1_000, dtype=np.bool_)].mean()


def test_there_is_no_shop_of_so_few_pairs() -> None:
    with pytest.raises(ValueError, match="too many"):
        synthetic_log(LogSize(edges=100, users=10, items=10), seed=0)
