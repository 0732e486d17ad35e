"""Mini-batches of target events with their sampled past, on PyTorch Geometric's own loaders.

Arrives: a `Snapshot`. Leaves: train, validation and test `LinkLoader`s. Next: any PyG model that wants neighbourhoods;
`training.sage.fit` itself takes the whole graph at once, which is cheaper below some ten million edges.
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


def homogeneous_data(snapshot: Snapshot) -> Data:
    """The same graph with one node type, for models that know no other: users first, then items.

    `edge_index` [2, 2 · num_events] has every event in both directions, user to item first; `edge_time` and
    `edge_weight` [2 · num_events] go with it, `num_users` says where the items begin. Users have no features, so there
    are none.
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
    """Loaders over the events of the train, validation and test mask, each event with its own past as neighbourhood.

    `num_neighbors` has one number a hop, -1 for all; `shuffle` is for the training events alone. Without `negatives`
    a batch's `edge_label` is the snapshot's `y`; with them it is PyG's (1 and 0, or indices of triplets). Batches are
    of `bipartite_data`, or of `homogeneous_data`, whose negatives are of users with items, too; raises `ValueError`
    where there their amount is not whole: PyG could not tell whose they are.
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
            # PyG adds one to given labels when it appends negatives, so the two are not mixed.
            edge_label=events.y[mask] if negatives is None else None,
            edge_label_time=events.edge_time[mask],
            neg_sampling=negatives,
            batch_size=batch_size,
            shuffle=shuffled,
            generator=torch.Generator().manual_seed(seed),
        )

    return loader(events.train_mask, shuffle), loader(events.val_mask, False), loader(events.test_mask, False)


def _between_users_and_items(negatives: NegativeSampling, snapshot: Snapshot) -> NegativeSampling:
    """The same negatives where users and items are nodes of one type: first ends are users, second ends items."""
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
