"""Sparse products against dense ones, forward and backward."""

import numpy as np
import torch

from tests.training.checkerboard import make_log
from training.graph.bipartite import BipartiteGraph, Csr

ROWS = [(0, 2, 5), (0, 1, 6), (0, 2, 9), (2, 0, 7), (2, 2, 8)]  # user 1 and item 3 have no event


def dense(matrix: Csr) -> torch.Tensor:
    return matrix @ torch.eye(matrix.num_columns)


def test_one_pair_for_all_events_of_it():
    graph = BipartiteGraph.from_log(make_log(ROWS, num_users=3, num_items=4))
    assert list(zip(graph.users.tolist(), graph.items.tolist(), strict=True)) == [(0, 1), (0, 2), (2, 0), (2, 2)]


def test_means_over_neighbours_in_both_directions():
    graph = BipartiteGraph.from_log(make_log(ROWS, num_users=3, num_items=4))
    assert dense(graph.items_of_users).tolist() == [[0, 0.5, 0.5, 0], [0, 0, 0, 0], [0.5, 0, 0.5, 0]]
    assert dense(graph.users_of_items).tolist() == [[0, 0, 1], [1, 0, 0], [0.5, 0, 0.5], [0, 0, 0]]


def test_the_gradient_is_the_product_with_the_transpose():
    rng = np.random.default_rng(0)
    full = torch.from_numpy(rng.random((7, 5)).astype(np.float32) * (rng.random((7, 5)) < 0.4))
    places = full.nonzero()
    matrix = Csr(
        offsets=torch.cat([torch.zeros(1, dtype=torch.long), (full > 0).sum(1).cumsum(0)]),
        columns=places[:, 1].contiguous(),
        weights=full[places[:, 0], places[:, 1]],
        num_columns=5,
    )
    x = torch.from_numpy(rng.random((5, 3)).astype(np.float32)).requires_grad_()
    weight = torch.from_numpy(rng.random((7, 3)).astype(np.float32))
    product = matrix @ x
    (product * weight).sum().backward()
    assert torch.allclose(product, full @ x)
    assert x.grad is not None
    assert torch.allclose(x.grad, full.T @ weight)


def test_transposes_of_the_same_places_agree_with_dense_ones():
    graph = BipartiteGraph.from_log(make_log(ROWS, num_users=3, num_items=4))
    for matrix in (graph.items_of_users, graph.users_of_items):
        other = matrix.with_weights(torch.arange(1.0, len(graph) + 1))
        for one in (matrix, other, other.transposed.with_weights(torch.arange(5.0, len(graph) + 5))):
            assert torch.equal(dense(one.transposed), dense(one).T)
            assert torch.equal(dense(one.transposed.transposed), dense(one))


def test_pairs_are_found_and_left_out():
    graph = BipartiteGraph.from_log(make_log(ROWS, num_users=3, num_items=4))
    found = graph.find(np.array([2, 1, 0, 2]), np.array([2, 0, 1, 3]))
    assert found.tolist() == [0, 3]  # ascending, whatever the order of the pairs
    keep = np.ones(len(graph), dtype=np.bool_)
    keep[found] = False
    assert list(zip(graph.only(keep).users, graph.only(keep).items, strict=True)) == [(0, 2), (2, 0)]


def test_users_without_a_pair_are_left_out_and_no_message_changes():
    graph = BipartiteGraph.from_log(make_log(ROWS, num_users=3, num_items=4))  # user 1 has none
    small = graph.compact()
    assert (small.num_users, small.num_items) == (2, 4)
    assert torch.equal(dense(small.items_of_users), dense(graph.items_of_users)[[0, 2]])
    x = torch.arange(8.0).reshape(4, 2)
    messages = [one.users_of_items @ (one.items_of_users @ x) for one in (small, graph)]
    assert torch.equal(*messages)
    none = graph.take(np.empty(0, dtype=np.int64)).compact()
    assert not (none.users_of_items @ (none.items_of_users @ x)).any()


def test_an_empty_graph_gives_zeros():
    graph = BipartiteGraph.from_log(make_log([], num_users=3, num_items=4))
    assert not (graph.items_of_users @ torch.ones(4, 2)).any()
    assert (graph.users_of_items @ torch.ones(3, 2)).shape == (4, 2)
