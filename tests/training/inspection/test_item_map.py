"""The map: neighbours stay together, categories are the widest, and a model without vectors says so."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.training.models.test_recommender import LOG, recommender
from training.inspection import item_map
from training.inspection.item_map import GROUPS, NoMap, item_vectors, lay_out, sample_items, widest_groups
from training.sage.term import SageTerm
from training.terms.filter_bank import FilterBank
from training.terms.linear_filter import LinearFilter
from training.terms.protocol import find_term
from training.terms.trend import Trend

CLUSTERS = 12  # items each


def two_clusters() -> torch.Tensor:
    vectors = torch.randn(2 * CLUSTERS, 6, generator=torch.Generator().manual_seed(0)) * 0.1
    vectors[:CLUSTERS, 0] += 1
    vectors[CLUSTERS:, 1] += 1
    return F.normalize(vectors, dim=1)


def share_of_neighbours(points: np.ndarray, halves: np.ndarray) -> float:
    """Points whose nearest other point is of their own half."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(np.full(len(points), np.inf))
    return float((halves[distances.argmin(axis=1)] == halves).mean())


def test_neighbours_stay_together_and_equal_seeds_give_equal_maps():
    vectors = two_clusters()
    points = lay_out(vectors, method="tsne", seed=0)
    assert points.shape == (2 * CLUSTERS, 2)
    assert share_of_neighbours(points, np.arange(2 * CLUSTERS) // CLUSTERS) == 1.0
    np.testing.assert_array_equal(points, lay_out(vectors, method="tsne", seed=0))


@pytest.mark.slow
def test_umap_too():
    """In a process without a compiler: compiling UMAP takes twenty times as long as laying out so few points."""
    program = (
        "import torch\n"
        "from training.inspection.item_map import lay_out\n"
        f"print(lay_out(torch.tensor({two_clusters()[::3].tolist()}), method='umap', seed=0).tolist())\n"
    )
    command = [sys.executable, "-W", "error::ImportWarning", "-c", program]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    points = np.array(json.loads(done.stdout))
    assert points.shape == (2 * CLUSTERS // 3, 2)
    assert share_of_neighbours(points, np.arange(len(points)) * 2 // len(points)) >= 0.75


def test_items_of_a_half_lie_together_whoever_places_them():
    for model, source in ((recommender(sage=True), "GraphSAGE"), (recommender(), "linear filter")):
        kind, rows, vectors = item_vectors(model, np.arange(LOG.num_items), seed=0)
        assert kind == source
        assert rows.tolist() == list(range(LOG.num_items))
        np.testing.assert_allclose(torch.linalg.vector_norm(vectors, dim=1), 1.0, rtol=1e-5)
        cosines = (vectors @ vectors.T).fill_diagonal_(-torch.inf)
        assert ((cosines.argmax(dim=1) % 2).numpy() == rows % 2).all()


def test_rows_of_the_filter_are_read_in_blocks(monkeypatch):
    model = recommender()
    whole = item_vectors(model, np.array([1, 5, 6, 10, 14, 22, 23]), seed=0)
    monkeypatch.setattr(item_map, "BLOCK_CELLS", 5 * LOG.num_items)
    again = item_vectors(model, np.array([1, 5, 6, 10, 14, 22, 23]), seed=0)
    assert whole[1].tolist() == again[1].tolist()
    assert torch.equal(whole[2], again[2])


def test_wide_filters_are_reduced(monkeypatch):
    monkeypatch.setattr(item_map, "FILTER_WIDTH", 4)
    _, rows, vectors = item_vectors(recommender(), np.arange(LOG.num_items), seed=0)
    assert vectors.shape == (LOG.num_items, 4)
    cosines = (vectors @ vectors.T).fill_diagonal_(-torch.inf)
    assert ((cosines.argmax(dim=1) % 2).numpy() == rows % 2).mean() > 0.9


def test_a_model_without_vectors_says_so():
    past = LOG.between(end=1)
    with pytest.raises(NoMap, match="neither"):
        item_vectors(recommender(terms=[Trend.fit(LOG)]), np.arange(4), seed=0)
    with pytest.raises(NoMap, match="vectors of 0 items"):
        item_vectors(recommender(terms=[FilterBank([LinearFilter.fit(past)])]), np.arange(LOG.num_items), seed=0)


def test_samples_are_bounded_and_in_order(monkeypatch):
    monkeypatch.setattr(item_map, "MAX_ITEMS", 7)
    rows = sample_items(recommender(), seed=0)
    assert len(rows) == 7
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() != sample_items(recommender(), seed=1).tolist()
    monkeypatch.setattr(item_map, "MAX_ITEMS", 24)
    assert sample_items(recommender(), seed=0).tolist() == list(range(24))


def test_the_widest_category_of_each():
    categories = [["Tea", "Green tea"], ["Tea"], ["Coffee", "Tea"], ["Coffee"], []]
    assert widest_groups(categories) == ["Tea", "Tea", "Tea", "Coffee", None]


@given(st.lists(st.lists(st.sampled_from([f"c{n}" for n in range(15)]), max_size=3), max_size=60))
def test_at_most_so_many_groups_and_each_item_in_one_of_its_own(categories):
    groups = widest_groups(categories)
    assert len(groups) == len(categories)
    assert len({group for group in groups if group}) <= GROUPS
    for group, names in zip(groups, categories, strict=True):
        assert group is None or group in names
    if len({name for names in categories for name in names}) <= GROUPS:
        assert [group is None for group in groups] == [not names for names in categories]


def test_the_term_that_places_them_is_the_one_of_similar_items():
    model = recommender(sage=True)
    sage = find_term(model.terms, SageTerm)
    _, _, vectors = item_vectors(model, np.array([3, 8, 9, 12, 20]), seed=0)
    torch.testing.assert_close(vectors, sage.item_embeddings[[3, 8, 9, 12, 20]])
