"""Exact retrieval: the same lists as a plain sort of all scores, whatever the tiles, ties and seen items."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphstore.arrays import offsets_of
from training.models import topk
from training.models.topk import best_items


def plain(scores, k):
    """Of all scores [B, N] the k best by score and then by row."""
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(scores, rows, axis=1)
    rows = np.where(np.isneginf(values), -1, rows)
    missing = ((0, 0), (0, k - rows.shape[1]))
    return np.pad(rows, missing, constant_values=-1), np.pad(values, missing, constant_values=-np.inf)


@st.composite
def shops(draw):
    """Whole numbers, so that every order of summing is exact, and few of them, so that most scores are tied."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_users, num_items = draw(st.integers(0, 9)), draw(st.integers(0, 150))
    users = rng.integers(-2, 3, (num_users, 3)).astype(np.float32)
    items = rng.integers(-2, 3, (num_items, 3)).astype(np.float32)
    bias = rng.choice(np.array([-np.inf, -1.0, 0.0, 2.0], dtype=np.float32), num_items, p=[0.1, 0.3, 0.3, 0.3])
    seen = [rng.integers(0, num_items, rng.integers(0, 2 * num_items)) for _ in range(num_users) if num_items]
    return users, items, bias, seen


@given(shops(), st.integers(0, 60), st.booleans())
def test_lists_are_those_of_a_plain_sort(shop, k, excluding):
    users, items, bias, seen = shop
    scores = users @ items.T + bias
    given_seen = {}
    if excluding and seen:
        for user, rows in enumerate(seen):
            scores[user, rows] = -np.inf
        given_seen = {
            "seen_offsets": offsets_of([len(rows) for rows in seen]),
            "seen_items": np.concatenate(seen),
        }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk, "TILE_USERS", 4)
        patch.setattr(topk, "TILE_ITEMS", 48)
        rows, values = best_items(
            torch.from_numpy(users), torch.from_numpy(items), k=k, bias=torch.from_numpy(bias), **given_seen
        )
    expected_rows, expected_values = plain(scores, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(values, expected_values)
    assert rows.dtype == np.int64
    assert values.dtype == np.float32


def test_tiles_of_their_real_size():
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(150, 16, generator=generator), torch.randn(5_000, 16, generator=generator)
    rows, values = best_items(users, items, k=100)
    expected = (users @ items.T).topk(100, dim=1)
    np.testing.assert_allclose(values, expected.values, rtol=1e-5)
    assert (rows == expected.indices.numpy()).mean() > 0.999
    assert (np.diff(values, axis=1) <= 0).all()


def test_zeros_of_either_sign_are_tied():
    items = torch.tensor([[-0.0], [0.0], [-1.0]])
    rows, _ = best_items(torch.tensor([[1.0]]), items, k=3, bias=torch.tensor([-0.0, 0.0, 0.0]))
    assert rows.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_what_is_no_number_is_refused(wrong):
    ones = torch.ones(2, 3)
    for users, items, bias in (
        (ones * wrong, ones, torch.zeros(2)),
        (ones, ones * wrong, torch.zeros(2)),
        (ones, ones, torch.tensor([0.0, wrong])),
    ):
        with pytest.raises(ValueError, match="finite"):
            best_items(users, items, k=1, bias=bias)
    with pytest.raises(ValueError, match="together"):
        best_items(ones, ones, k=1, seen_items=np.zeros(1, dtype=np.int64))
