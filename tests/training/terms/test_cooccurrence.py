"""Co-occurrence: each user and each item counts by the root of its degree, whatever the blocks."""

import numpy as np
import pytest
from scipy import sparse

from training.terms import cooccurrence
from training.terms.cooccurrence import cooccurrence_weights


def test_the_products_of_a_small_matrix_by_hand() -> None:
    x = sparse.csr_array(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]]))
    found = cooccurrence_weights(x, row_weights=3).toarray()
    # Users have 2, 3 and 1 items, items 2, 2 and 2 users: 0 and 1 share the first two users, both share one with 2.
    assert found == pytest.approx(
        np.array([[0, 1 / 2 + 1 / 3, 1 / 3], [1 / 2 + 1 / 3, 0, 1 / 3], [1 / 3, 1 / 3, 0]]) / 2
    )


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = sparse.csr_array((rng.random((40, 23)) < 0.2).astype(np.float64))
    whole = cooccurrence_weights(x, row_weights=5).toarray()
    monkeypatch.setattr(cooccurrence, "BLOCK_ITEMS", 7)
    assert np.array_equal(cooccurrence_weights(x, row_weights=5).toarray(), whole)
    assert (whole > 0).sum(axis=1).max() == 5
    degrees = np.sqrt(x.sum(axis=1))[:, None] * np.sqrt(x.sum(axis=0))[None, :]
    dense = np.divide(x.toarray(), degrees, where=degrees > 0, out=np.zeros(x.shape))
    products = dense.T @ dense
    assert whole[whole > 0] == pytest.approx(products[whole > 0])


def test_items_and_users_without_events_have_no_weights() -> None:
    assert cooccurrence_weights(sparse.csr_array((0, 0), dtype=np.float64), row_weights=5).shape == (0, 0)
    found = cooccurrence_weights(sparse.csr_array(np.array([[1.0, 0.0], [0.0, 0.0]])), row_weights=5)
    assert (found.shape, found.nnz) == ((2, 2), 0)
