"""Lists from shards are those from all items, ties included."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from graphstore.arrays import offsets_of
from tests.training import together
from tests.training.together import run_together
from training.models.sharded_topk import best_items_of_shards, shard_of
from training.models.topk import TILE_ITEMS, best_items
from training.sage.process_group import ProcessGroup


@pytest.mark.parametrize("num_items", [0, 1, TILE_ITEMS, TILE_ITEMS + 1, 7 * TILE_ITEMS - 5])
@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_shards_are_all_items_once_in_whole_tiles(num_items: int, size: int) -> None:
    bounds = [shard_of(num_items, ProcessGroup(number, size)) for number in range(size)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == num_items
    assert all(last == first for (_, last), (first, _) in pairwise(bounds))
    assert all(first % TILE_ITEMS == 0 or first == num_items for first, _ in bounds)
    sizes = [-(-(last - first) // TILE_ITEMS) for first, last in bounds]
    assert max(sizes) - min(sizes) <= 1


def world(seed: int) -> tuple[np.ndarray, ...]:
    """Vectors of few whole numbers, so that scores tie across shards; half of what shoppers saw is among the best."""
    rng = np.random.default_rng(seed)
    users = rng.integers(-2, 3, (40, 5)).astype(np.float32)
    items = np.concatenate([rng.integers(-2, 3, (5_000, 5)), rng.normal(size=(1_000, 5))]).astype(np.float32)
    bias = np.where(rng.random(6_000) < 0.1, -np.inf, 0.0).astype(np.float32)
    offsets = offsets_of(rng.integers(0, 60, 40))
    best = np.argsort(-(users @ items.T + bias), axis=1)
    seen = [rng.choice(best[user, :200], end - start) for user, (start, end) in enumerate(pairwise(offsets))]
    return users, items, bias, offsets, np.concatenate(seen)


@pytest.mark.slow
def test_two_processes_make_the_lists_of_one() -> None:
    users, items, bias, offsets, seen = world(0)
    tensors = (torch.from_numpy(part) for part in (users, items, bias))
    vectors, matrix, bonus = tensors
    rows, scores = best_items(vectors, matrix, k=30, bias=bonus, seen_offsets=offsets, seen_items=seen)
    assert (scores[:, 1:] == scores[:, :-1]).mean() > 0.5  # ties are what could go wrong
    assert len(np.unique(rows // TILE_ITEMS)) == 3  # and so are shards
    for found_rows, found_scores in run_together(together.retrieve, users, items, bias, offsets, seen, 30, size=2):
        np.testing.assert_array_equal(found_rows, rows)
        np.testing.assert_array_equal(found_scores, scores)


def test_more_asked_than_there_is_ends_in_nothing() -> None:
    rows, scores = best_items_of_shards(torch.ones(1, 2), torch.ones(3, 2), first=0, k=5, group=ProcessGroup())
    assert rows.tolist() == [[0, 1, 2, -1, -1]]
    assert scores[0, 3:].tolist() == [-np.inf, -np.inf]
