"""Mini-batches of target events with their sampled past, on PyTorch Geometric's own loaders.

Arrives: a `Snapshot`. Leaves: train, validation and test `LinkLoader`s. Next: any PyG model that wants neighbourhoods;
`training.train` itself takes the whole graph at once, which is cheaper below some ten million edges.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import NegativeSampling

from graphstore.graph import INTERACTS
from graphstore.snapshot_files import Snapshot
from training.sampler import INTERACTED_BY, TemporalNeighborSampler


def bipartite_data(snapshot: Snapshot) -> HeteroData:
    """The snapshot's graph with every event in both directions: `edge_index` [2, num_events] and `edge_time`."""
    data = HeteroData()
    data["user"].num_nodes = snapshot.num_users
    data["item"].num_nodes = snapshot.num_items
    data["item"].x = snapshot.graph["item"].x
    for edge_type, edge_index in (
        (INTERACTS, snapshot.events.edge_index),
        (INTERACTED_BY, snapshot.events.edge_index.flip(0)),
    ):
        data[edge_type].edge_index = edge_index
        data[edge_type].edge_time = snapshot.events.edge_time
    return data


def get_data_loaders(
    snapshot: Snapshot,
    batch_size: int,
    num_neighbors: Sequence[int],
    shuffle: bool,
    *,
    mode: Literal["uniform", "recent"] = "uniform",
    negatives: NegativeSampling | None = None,
    seed: int = 0,
) -> tuple[LinkLoader, LinkLoader, LinkLoader]:
    """Loaders over the events of the train, validation and test mask, each event with its own past as neighbourhood.

    `num_neighbors` has one number a hop, -1 for all; `shuffle` is for the training events alone. Without `negatives`
    a batch's `edge_label` is the snapshot's `y`; with them it is PyG's (1 and 0, or indices of triplets).
    """
    data = bipartite_data(snapshot)
    sampler = TemporalNeighborSampler(data, num_neighbors, mode=mode, seed=seed)
    events = snapshot.events

    def loader(mask: Tensor, shuffled: bool) -> LinkLoader:
        return LinkLoader(
            data,
            link_sampler=sampler,
            edge_label_index=(INTERACTS, events.edge_index[:, mask]),
            # PyG adds one to given labels when it appends negatives, so the two are not mixed.
            edge_label=events.y[mask] if negatives is None else None,
            edge_label_time=events.edge_time[mask],
            neg_sampling=negatives,
            batch_size=batch_size,
            shuffle=shuffled,
            generator=torch.Generator().manual_seed(seed),
        )

    return loader(events.train_mask, shuffle), loader(events.val_mask, False), loader(events.test_mask, False)
