"""Gram blocks: equal to the products themselves, whether hubs are read from the table or walked through."""

import numpy as np
import pytest
from scipy import sparse

from training.terms import gram_blocks
from training.terms.gram_blocks import Interactions, Scratch, count_links, fill_block

ITEMS = np.array([0, 3, 4, 7, 9, 11])
HUBS = (3, 9)


def shop() -> sparse.csr_array:
    """300 users and 12 items, two of which nearly everybody has."""
    rng = np.random.default_rng(0)
    matrix = rng.uniform(0.5, 2.0, (300, 12)) * (rng.random((300, 12)) < 0.05)
    matrix[:, HUBS] = rng.uniform(0.5, 2.0, (300, 2)) * (rng.random((300, 2)) < 0.9)
    return sparse.csr_array(matrix)


def block_of(known: Interactions) -> np.ndarray:
    scratch = Scratch.of(known, 1)
    block = np.full((8, 8), np.nan)
    for _ in range(2):
        scratch = fill_block(block, known, ITEMS, scratch)
        assert (scratch.place == -1).all()
        assert (scratch.chain == -1).all()
    return np.tril(block[: len(ITEMS), : len(ITEMS)])


@pytest.mark.parametrize(("hubs", "read"), [(1, False), (2, True), (12, True)])
def test_a_block_has_the_products_of_its_items(monkeypatch, hubs, read):
    matrix = shop()
    monkeypatch.setattr(gram_blocks, "HUBS", 0)
    walked = block_of(Interactions.of(matrix))
    gram = (matrix.T @ matrix).toarray()[np.ix_(ITEMS, ITEMS)]
    np.testing.assert_allclose(walked, np.tril(gram), rtol=1e-12)
    monkeypatch.setattr(gram_blocks, "HUBS", hubs)
    known = Interactions.of(matrix)
    assert count_links(known, ITEMS)[1] == read
    np.testing.assert_array_equal(block_of(known), walked)  # bit for bit


def test_values_of_another_type_make_the_same_blocks():
    matrix = shop().astype(np.float32)
    np.testing.assert_array_equal(
        block_of(Interactions.of(matrix)), block_of(Interactions.of(matrix.astype(np.float64)))
    )


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
