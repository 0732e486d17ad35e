"""The convolution is the library's own, on a product that costs less."""

import numpy as np
import torch
from torch_geometric.nn import LightGCN

from tests.training.checkerboard import checkerboard
from training.baselines.lightgcn import DIM, LightGCNSettings, LightGCNTrainer


def test_smoothing_equals_the_library():
    log = checkerboard()
    trainer = LightGCNTrainer(log, LightGCNSettings(layers=3), seed=0)
    library = LightGCN(64, DIM, 3)
    library.embedding.load_state_dict(trainer.model.embedding.state_dict())
    pairs = torch.from_numpy(np.stack([log.users, log.num_users + log.items]))
    both = torch.cat([pairs, pairs.flip(0)], dim=1)
    ours, theirs = trainer.model.get_embedding(trainer.adjacency), library.get_embedding(both)
    torch.testing.assert_close(ours, theirs)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    torch.testing.assert_close(trainer.model.embedding.weight.grad, library.embedding.weight.grad)


def test_pairs_of_the_graph():
    log = checkerboard()
    graph = LightGCNTrainer(log, LightGCNSettings(), seed=0).graph
    assert graph.contains(log.users, log.items).all()
    assert not graph.contains(log.users, (log.items + 1) % 24).any()


def test_what_was_scored_does_not_move_with_later_steps():
    trainer = LightGCNTrainer(checkerboard(), LightGCNSettings(), seed=0)
    trainer.step()
    before = trainer.scorer()
    items = before.items.clone()
    trainer.step()
    assert torch.equal(before.items, items)
    assert not torch.equal(trainer.scorer().items, items)
