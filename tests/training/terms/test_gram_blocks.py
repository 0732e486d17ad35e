"""Gram blocks: equal to the products themselves, whether hubs are read from the table or walked through."""

import numpy as np
import pytest
from scipy import sparse

from training.terms import gram_blocks
from training.terms.gram_blocks import Interactions, Scratch, count_links, fill_block
from training.terms.local_ridge import local_ridge_weights

ITEMS = np.array([0, 3, 4, 7, 9, 11])
HUBS = (3, 9)


def shop() -> sparse.csr_array:
    """300 users and 12 items, two of which nearly everybody has."""
    rng = np.random.default_rng(0)
    matrix = rng.uniform(0.5, 2.0, (300, 12)) * (rng.random((300, 12)) < 0.05)
    matrix[:, HUBS] = rng.uniform(0.5, 2.0, (300, 2)) * (rng.random((300, 2)) < 0.9)
    return sparse.csr_array(matrix)


def block_of(known: Interactions, *, read_hubs: bool) -> np.ndarray:
    num_items, num_users = len(known.squares), len(known.by_user.offsets) - 1
    links = len(known.by_user.indices)
    scratch = Scratch(
        place=np.full(num_items, -1, dtype=np.int32),
        chain=np.full(num_users, -1, dtype=np.int64),
        before=np.empty(links, dtype=np.int64),
        member=np.empty(links, dtype=np.int32),
        value=np.empty(links),
    )
    block = np.full((8, 8), np.nan)
    fill_block(block, known, ITEMS, 0.25, read_hubs, scratch)
    assert (scratch.place == -1).all()
    assert (scratch.chain == -1).all()
    return np.tril(block[: len(ITEMS), : len(ITEMS)])


@pytest.mark.parametrize("hubs", [0, 2, 12])
@pytest.mark.parametrize("read_hubs", [False, True])
def test_a_block_has_the_products_of_its_items(monkeypatch, hubs, read_hubs):
    monkeypatch.setattr(gram_blocks, "HUBS", hubs)
    matrix = shop()
    gram = (matrix.T @ matrix).toarray()[np.ix_(ITEMS, ITEMS)] + 0.25 * np.eye(len(ITEMS))
    np.testing.assert_allclose(block_of(Interactions.of(matrix), read_hubs=read_hubs), np.tril(gram), rtol=1e-12)


def test_the_most_frequent_items_are_hubs_and_come_first(monkeypatch):
    monkeypatch.setattr(gram_blocks, "HUBS", 2)
    matrix = shop()
    known = Interactions.of(matrix)
    assert set(np.flatnonzero(known.hub >= 0)) == set(HUBS)
    offsets, items, values = known.by_user
    for user in range(300):
        own = slice(offsets[user], offsets[user + 1])
        assert set(items[offsets[user] : known.hub_ends[user]]) == set(HUBS) & set(items[own])
        np.testing.assert_array_equal(values[own], matrix[[user]].toarray()[0][items[own]])
    for item in range(12):
        users = matrix.toarray()[:, item] > 0
        assert known.hub_visits[item] == np.count_nonzero(matrix.toarray()[users][:, HUBS])


def test_hubs_are_read_where_walking_through_their_users_takes_longer(monkeypatch):
    monkeypatch.setattr(gram_blocks, "HUBS", 2)
    known = Interactions.of(shop())
    users = np.diff(known.by_item.offsets)
    rare = ITEMS[~np.isin(ITEMS, HUBS)]
    assert count_links(known, ITEMS) == (users[rare].sum(), True)
    assert count_links(known, rare) == (users[rare].sum(), False)
    monkeypatch.setattr(gram_blocks, "HUBS", 0)
    assert count_links(Interactions.of(shop()), ITEMS) == (users[ITEMS].sum(), False)


@pytest.mark.parametrize("hubs", [1, 2, 5])
def test_the_regressions_are_the_same_bit_for_bit(monkeypatch, hubs):
    def weights() -> np.ndarray:
        return local_ridge_weights(shop(), regularisation=0.5, neighbours=6, row_weights=12).toarray()

    monkeypatch.setattr(gram_blocks, "HUBS", 0)
    walked = weights()
    monkeypatch.setattr(gram_blocks, "HUBS", hubs)
    np.testing.assert_array_equal(weights(), walked)
    assert walked.any()
