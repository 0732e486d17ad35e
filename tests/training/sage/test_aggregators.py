"""Aggregators against loops over single neighbourhoods, forward and backward."""

import numpy as np
import pytest
import torch
from torch import nn

from training.graph.bipartite import Csr, mean_matrix
from training.sage import aggregators
from training.sage.aggregators import AGGREGATIONS, Lstm, Max, Mean

DIM = 4
ROWS = [[2, 0], [], [1], [4, 3, 1, 0, 2], []]  # neighbours of five nodes among five; the last has none
X = torch.randn(5, DIM, generator=torch.Generator().manual_seed(0))


def csr(rows: list[list[int]], num_columns: int = 5) -> Csr:
    offsets = torch.tensor(np.cumsum([0, *map(len, rows)]))
    return mean_matrix(offsets, torch.tensor([column for row in rows for column in row], dtype=torch.long), num_columns)


def aggregator(name: str) -> nn.Module:
    torch.manual_seed(1)
    return AGGREGATIONS[name](DIM)


def one_by_one(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What each neighbourhood alone gives, straight from the paper."""
    result = []
    for row in ROWS:
        if not row:
            result.append(torch.zeros(DIM))
        elif isinstance(module, Mean):
            result.append(x[row].mean(dim=0))
        elif isinstance(module, Max):
            result.append(torch.relu(module.linear(x[row])).amax(dim=0))
        else:
            result.append(module.lstm(x[row])[0][-1])
    return torch.stack(result)


@pytest.mark.slow
@pytest.mark.parametrize("name", AGGREGATIONS)
def test_each_neighbourhood_is_aggregated_alone_and_none_is_zero(name):
    module = aggregator(name)
    ours, theirs = X.clone().requires_grad_(), X.clone().requires_grad_()
    output, expected = module(csr(ROWS), ours), one_by_one(module, theirs)
    torch.testing.assert_close(output, expected)
    assert not output[1].any()
    assert not output[4].any()
    weight = torch.randn(5, DIM, generator=torch.Generator().manual_seed(2))
    found = torch.autograd.grad((output * weight).sum(), [ours, *module.parameters()])
    wanted = torch.autograd.grad((expected * weight).sum(), [theirs, *module.parameters()])
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_a_graph_without_edges_gives_zeros(name):
    output = aggregator(name)(csr([[], [], []]), X)
    assert output.shape == (3, DIM)
    assert not output.any()


def test_the_lstm_reads_so_many_neighbours_evenly_spaced(monkeypatch):
    monkeypatch.setattr(aggregators, "MAX_SEQUENCE", 3)
    module = aggregator("lstm")
    assert isinstance(module, Lstm)
    output = module(csr(ROWS), X)
    torch.testing.assert_close(output[3], module.lstm(X[[4, 3, 0]])[0][-1])  # of 5, places 0, 1 and 3
    torch.testing.assert_close(output[0], module.lstm(X[[2, 0]])[0][-1])


def test_only_the_lstm_minds_the_order():
    backwards = csr([row[::-1] for row in ROWS])
    for name in AGGREGATIONS:
        module = aggregator(name)
        same = torch.allclose(module(csr(ROWS), X), module(backwards, X), atol=1e-6)
        assert same == (name != "lstm"), name
