"""Ridge regressions in neighbourhoods: against their definition, and at a size where nothing dense would fit."""

import numpy as np
import pytest
from scipy import sparse

from training.data.event_log import EventLog, Histories
from training.terms import local_ridge
from training.terms.linear_filter import FilterSettings, LinearFilter
from training.terms.local_ridge import strongest_of_rows


def local_ridge_weights(matrix: sparse.csr_array, *, regularisation: float, neighbours: int, row_weights: int):
    """The weights for one λ."""
    (weights,) = local_ridge.local_ridge_weights(
        matrix, regularisations=[regularisation], neighbours=neighbours, row_weights=row_weights
    )
    return weights


def interactions(num_users: int, num_items: int, share: float, seed: int = 0) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    matrix = rng.uniform(0.5, 2.0, (num_users, num_items)) * (rng.random((num_users, num_items)) < share)
    return sparse.csr_array(matrix)


@pytest.mark.parametrize("shard_items", [7, 1_000])
def test_each_item_is_regressed_on_its_nearest(monkeypatch, shard_items):
    monkeypatch.setattr(local_ridge, "SHARD_ITEMS", shard_items)
    x = interactions(30, 20, 0.2)
    weights = local_ridge_weights(x, regularisation=0.5, neighbours=4, row_weights=20).toarray()
    gram = (x.T @ x).toarray()
    norms = np.sqrt(gram.diagonal())
    penalty = 0.5 * gram.diagonal().mean()
    for item in range(20):
        cosines = gram[:, item] / (norms * norms[item])
        cosines[item] = 0.0
        near = np.argsort(-cosines)[:4]
        near = near[cosines[near] > 0]
        expected = np.zeros(20)
        system = gram[np.ix_(near, near)] + penalty * np.eye(len(near))
        expected[near] = np.linalg.solve(system, gram[near, item])
        np.testing.assert_allclose(weights[:, item], expected, atol=1e-6)


@pytest.mark.parametrize("shard_items", [7, 1_000])
def test_several_penalties_in_one_pass_are_each_as_alone(monkeypatch, shard_items):
    monkeypatch.setattr(local_ridge, "SHARD_ITEMS", shard_items)
    x = interactions(30, 20, 0.2)
    values = (6.0, 0.5, 20.0)
    together = local_ridge.local_ridge_weights(x, regularisations=values, neighbours=4, row_weights=3)
    for value, weights in zip(values, together, strict=True):
        alone = local_ridge_weights(x, regularisation=value, neighbours=4, row_weights=3)
        np.testing.assert_array_equal(weights.toarray(), alone.toarray())


def test_of_neighbours_that_are_as_near_the_lower_rows_are_taken():
    x = sparse.csr_array(np.array([[1.0, 1.0, 1.0, 1.0, 1.0]]) * np.array([[1.0, 0.3, 0.7, 0.9, 0.1]]))
    weights = local_ridge_weights(x, regularisation=1.0, neighbours=2, row_weights=9).toarray()
    assert [np.flatnonzero(column).tolist() for column in weights.T] == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]


def test_only_the_strongest_of_each_row_are_kept():
    x = interactions(60, 30, 0.3).toarray()
    x[:, 0] = 1.0  # everybody has it: it is near to everything
    whole = local_ridge_weights(sparse.csr_array(x), regularisation=1.0, neighbours=8, row_weights=30)
    assert np.diff(whole.indptr).max() > 8
    kept = strongest_of_rows(whole, 3).toarray()
    assert (kept != 0).sum(axis=1).max() == 3
    for row, all_of_row in zip(kept, whole.toarray(), strict=True):
        assert set(np.abs(row[row != 0])) == set(np.sort(np.abs(all_of_row[all_of_row != 0]))[-3:])


def test_values_that_have_faded_away_are_none():
    x = interactions(30, 20, 0.3)
    faded = x.copy()
    faded.data[::5] *= 1e-200
    x.data[::5] = 0.0
    without = local_ridge_weights(x, regularisation=1.0, neighbours=5, row_weights=20)
    np.testing.assert_array_equal(
        local_ridge_weights(faded, regularisation=1.0, neighbours=5, row_weights=20).toarray(), without.toarray()
    )
    assert np.isfinite(without.data).all()


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (3, 1), (0, 5), (3, 5)])
def test_nothing_to_learn_from(shape):
    weights = local_ridge_weights(sparse.csr_array(shape), regularisation=1.0, neighbours=5, row_weights=5)
    assert weights.shape == (shape[1], shape[1])
    assert weights.nnz == 0


def test_a_million_items_all_take_part():
    num_items, num_users = 1_000_000, 60_000
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(num_users), 3)
    first = rng.permutation(num_items - 2)[:num_users]
    items = (first[:, None] + np.arange(3)).ravel()  # three neighbours of the catalogue, for each user others
    log = EventLog(
        users=users,
        items=items,
        times=np.arange(len(users)),
        types=np.full(len(users), 3, dtype=np.int8),
        weights=np.full(len(users), 4.0, dtype=np.float32),
        num_users=num_users,
        num_items=num_items,
    )
    term = LinearFilter.fit(log, FilterSettings(max_items=10_000))
    response = term.response(Histories.from_rows([[(int(first[7]), 1, 3)]]))
    assert response.shape == (1, num_items)
    assert response[0, first[7] + 1] > 0
    assert response[0, first[7] + 2] > 0
    assert (response != 0).sum() < 20
    assert term.num_weights >= 6 * 0.9 * num_users
