"""Loaders: each event once, in the window of its mask, with its own past."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.sampler import NegativeSampling

from graphstore.catalogue import Catalogue
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.graph import INTERACTS, time_masks
from tests.training.checkerboard import checkerboard
from training.graph.neighbor_sampling import INTERACTED_BY
from training.graph.pyg_loaders import bipartite_data, get_data_loaders, homogeneous_data


@pytest.fixture
def snapshot() -> Snapshot:
    log = checkerboard()
    graph = HeteroData()
    graph["user"].num_nodes = log.num_users
    graph["item"].x = torch.randn(log.num_items, 3, generator=torch.Generator().manual_seed(0))
    edges = graph[INTERACTS]
    edges.edge_index = torch.from_numpy(np.stack([log.users, log.items]))
    edges.edge_time = torch.from_numpy(log.times)
    edges.edge_weight = torch.from_numpy(log.weights)
    edges.y = torch.arange(len(log), dtype=torch.float32)
    edges.train_mask, edges.val_mask, edges.test_mask = time_masks(edges.edge_time)
    return Snapshot(
        snapshot_id="s1",
        path=Path(),
        as_of=int(log.times[-1]) + 1,
        last_interaction_key=len(log),
        stores=graph.to_dict(),
        user_ids=[str(i) for i in range(log.num_users)],
        item_ids=[str(i) for i in range(log.num_items)],
        user_keys=np.arange(log.num_users),
        item_keys=np.arange(log.num_items),
        catalogue=Catalogue([], [], [], np.empty(0, np.float32), np.empty(0, np.bool_)),
    )


def test_the_graph_has_both_directions(snapshot):
    data = bipartite_data(snapshot)
    assert data.validate()
    assert torch.equal(data[INTERACTS].edge_index, data[INTERACTED_BY].edge_index.flip(0))
    assert torch.equal(data["item"].x, snapshot.graph["item"].x)


def test_each_event_once_in_the_window_of_its_mask(snapshot):
    events = snapshot.events
    loaders = get_data_loaders(snapshot, 32, [5, 5], True)
    for loader, mask in zip(loaders, (events.train_mask, events.val_mask, events.test_mask), strict=True):
        labels = torch.cat([batch[INTERACTS].edge_label for batch in loader])
        assert labels.sort().values.tolist() == events.y[mask].tolist()


def test_only_training_events_are_shuffled_and_equal_seeds_shuffle_equally(snapshot):
    def order(place: int, shuffle: bool, seed: int = 0) -> list[float]:
        loader = get_data_loaders(snapshot, 32, [2], shuffle, seed=seed)[place]
        return torch.cat([batch[INTERACTS].edge_label for batch in loader]).tolist()

    assert order(0, False) == snapshot.events.y[snapshot.events.train_mask].tolist()
    assert order(0, True) == order(0, True)
    assert order(0, True) != order(0, True, seed=1)
    assert order(1, True) == snapshot.events.y[snapshot.events.val_mask].tolist()


@pytest.mark.parametrize("mode", ["uniform", "recent"])
def test_no_batch_knows_its_own_or_a_later_event(snapshot, mode):
    for loader in get_data_loaders(snapshot, 16, [5, 5], True, mode=mode):
        for batch in loader:
            time = batch[INTERACTS].edge_label_time
            for edge_type in (INTERACTS, INTERACTED_BY):
                tree = batch[edge_type[2]].batch[batch[edge_type].edge_index[1]]
                assert (batch[edge_type].edge_time < time[tree]).all()


def test_binary_negatives_are_labelled_zero(snapshot):
    loader = get_data_loaders(snapshot, 16, [5], False, negatives=NegativeSampling("binary", 2))[1]
    batch = next(iter(loader))
    label = batch[INTERACTS].edge_label
    positives = int(label.sum())
    assert label.tolist() == [1.0] * positives + [0.0] * 2 * positives
    assert batch[INTERACTS].edge_label_index.shape == (2, 3 * positives)


def test_features_follow_their_items(snapshot):
    batch = next(iter(get_data_loaders(snapshot, 16, [5, 5], False)[2]))
    assert torch.equal(batch["item"].x, snapshot.graph["item"].x[batch["item"].n_id])


def test_the_homogeneous_view_has_users_first_and_both_directions(snapshot):
    data = homogeneous_data(snapshot)
    assert data.validate()
    events, n = snapshot.events, snapshot.num_events
    assert (data.num_nodes, data.num_users) == (snapshot.num_users + snapshot.num_items, snapshot.num_users)
    assert torch.equal(data.edge_index[0, :n], events.edge_index[0])
    assert torch.equal(data.edge_index[1, :n] - snapshot.num_users, events.edge_index[1])
    assert torch.equal(data.edge_index[:, n:], data.edge_index[:, :n].flip(0))
    for name in ("edge_time", "edge_weight"):
        assert torch.equal(data[name], events[name].repeat(2))


@pytest.mark.parametrize("mode", ["uniform", "recent"])
def test_loaders_of_the_homogeneous_view_give_each_event_once_with_its_own_past(snapshot, mode):
    events = snapshot.events
    loaders = get_data_loaders(snapshot, 16, [5, 5], True, mode=mode, homogeneous=True)
    for loader, mask in zip(loaders, (events.train_mask, events.val_mask, events.test_mask), strict=True):
        labels, pairs = [], []
        for batch in loader:
            labels.append(batch.edge_label)
            pairs.append(batch.n_id[batch.edge_label_index])
            assert batch.edge_weight.shape == batch.edge_time.shape
            tree = batch.batch[batch.edge_index[1]]
            assert len(tree) or batch.edge_label_time.max() < 86_400_000
            assert (batch.edge_time < batch.edge_label_time[tree]).all()
        order = torch.cat(labels).argsort()
        assert torch.cat(labels)[order].tolist() == events.y[mask].tolist()
        found = torch.cat(pairs, dim=1)[:, order] - torch.tensor([[0], [snapshot.num_users]])
        assert torch.equal(found, events.edge_index[:, mask])


def test_half_a_negative_is_refused(snapshot):
    with pytest.raises(ValueError, match="whole number"):
        get_data_loaders(snapshot, 16, [5], False, negatives=NegativeSampling("binary", 1.5), homogeneous=True)


@pytest.mark.parametrize("mode", ["binary", "triplet"])
def test_negatives_of_the_homogeneous_view_join_users_with_items(snapshot, mode):
    loader = get_data_loaders(snapshot, 16, [5], False, negatives=NegativeSampling(mode, 2), homogeneous=True)[0]
    for batch in loader:
        if mode == "binary":
            first, second = batch.n_id[batch.edge_label_index]
            assert len(first) == 3 * int(batch.edge_label.sum())
        else:
            first, second = batch.n_id[batch.src_index], batch.n_id[batch.dst_neg_index]
        assert (first < snapshot.num_users).all()
        assert (second >= snapshot.num_users).all()
