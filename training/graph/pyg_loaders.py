"""PyTorch Geometric loaders: mini-batches of target events with their sampled past.

Arrives: a `Snapshot`. Leaves: train, validation and test `LinkLoader`s. Next: any PyG model that uses neighbourhoods.
`training.sage.fit` uses the whole graph instead, which is cheaper.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import NegativeSampling

from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.graph import INTERACTS
from training.graph.neighbor_sampling import INTERACTED_BY
from training.graph.pyg_sampler import TemporalNeighborSampler


def bipartite_data(snapshot: Snapshot) -> HeteroData:
    """Return the graph with `edge_index` [2, num_events] and `edge_time` [num_events] in both directions."""
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


def homogeneous_data(snapshot: Snapshot) -> Data:
    """Return the same graph with one node type, for homogeneous models. Users come first, then items.

    `edge_index` [2, 2 · num_events] has each event in both directions, user to item first, with `edge_time` and
    `edge_weight` [2 · num_events]. `num_users` is the first item node. There are no features, because users have no
    features.
    """
    users, items = snapshot.events.edge_index
    forward = torch.stack([users, items + snapshot.num_users])
    return Data(
        edge_index=torch.cat([forward, forward.flip(0)], dim=1),
        edge_time=snapshot.events.edge_time.repeat(2),
        edge_weight=snapshot.events.edge_weight.repeat(2),
        num_nodes=snapshot.num_users + snapshot.num_items,
        num_users=snapshot.num_users,
    )


def get_data_loaders(  # noqa: PLR0913 - named like the parameters of PyG's own loaders, which most of them go to
    snapshot: Snapshot,
    batch_size: int,
    num_neighbors: Sequence[int],
    shuffle: bool,
    *,
    mode: Literal["uniform", "recent"] = "uniform",
    negatives: NegativeSampling | None = None,
    seed: int = 0,
    homogeneous: bool = False,
) -> tuple[LinkLoader, LinkLoader, LinkLoader]:
    """Return loaders over the events of the train, validation and test mask. Each event has its own sampled past.

    Args:
        snapshot: the graph, the masks and the labels.
        batch_size: events in a batch.
        num_neighbors: one number for each hop; -1 for all.
        shuffle: whether the training events are shuffled. The others never are.
        mode: see `TemporalNeighborSampler`.
        negatives: PyG's negative sampling, with PyG's labels (1 and 0, or indices of triplets). None: the `edge_label`
            of a batch is the snapshot's `y`.
        seed: seed of the order and of the sampler.
        homogeneous: use `homogeneous_data` instead of `bipartite_data`. Negatives are (user, item) pairs in both.

    Raises:
        ValueError: the number of homogeneous negatives is not whole, so PyG could not assign them to positives.
    """
    data = homogeneous_data(snapshot) if homogeneous else bipartite_data(snapshot)
    if homogeneous and negatives is not None:
        negatives = _between_users_and_items(negatives, snapshot)
    first_item = snapshot.num_users if homogeneous else 0
    sampler = TemporalNeighborSampler(data, num_neighbors, mode=mode, seed=seed)
    events = snapshot.events

    def links(mask: Tensor) -> Tensor:
        ends: Tensor = events.edge_index[:, mask] + torch.tensor([[0], [first_item]])
        return ends

    def loader(mask: Tensor, shuffled: bool) -> LinkLoader:
        return LinkLoader(
            data,
            link_sampler=sampler,
            edge_label_index=links(mask) if homogeneous else (INTERACTS, links(mask)),
            # PyG adds one to given labels when it appends negatives, so labels and negatives are not combined.
            edge_label=events.y[mask] if negatives is None else None,
            edge_label_time=events.edge_time[mask],
            neg_sampling=negatives,
            batch_size=batch_size,
            shuffle=shuffled,
            generator=torch.Generator().manual_seed(seed),
        )

    return loader(events.train_mask, shuffle), loader(events.val_mask, False), loader(events.test_mask, False)


def _between_users_and_items(negatives: NegativeSampling, snapshot: Snapshot) -> NegativeSampling:
    """Restrict negatives of a homogeneous graph to users as sources and items as targets."""
    if negatives.amount != int(negatives.amount):
        raise ValueError(f"{negatives.amount} negatives for each positive: take a whole number")
    users, items = snapshot.num_users, snapshot.num_items
    of_users = torch.ones(users) if negatives.src_weight is None else negatives.src_weight
    of_items = torch.ones(items) if negatives.dst_weight is None else negatives.dst_weight
    return NegativeSampling(
        negatives.mode,
        negatives.amount,
        src_weight=torch.cat([of_users, torch.zeros(items)]) if negatives.is_binary() else None,
        dst_weight=torch.cat([torch.zeros(users), of_items]),
    )
