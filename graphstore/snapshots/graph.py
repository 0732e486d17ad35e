"""Makes the graph of a set of events, in the form of PyTorch Geometric's `HeteroData.to_dict`.

Arrives: events and sessions of `graphstore.snapshots.eventlog`, the items' order. Leaves: nodes, edges, labels and
masks. Next: `graphstore.snapshots.statistics` counts in it, `graphstore.snapshots.snapshot` keeps it.

PyTorch Geometric itself is not imported here, because its import takes seconds.

Each interaction is one edge, in the order of event time, because the causal user tower and the trend need the time of
each event. `graphstore.queries` reads the aggregated table `edges` for readers that need one edge for each pair.
Take-backs, and purchases that they took back whole, are not edges.
"""

from typing import Any

import numpy as np
import torch

from graphstore.arrays import IntArray
from graphstore.snapshots.eventlog import Events, persons_of
from graphstore.tables import EVENT_TYPES, EVENT_WEIGHTS
from graphstore.takebacks import standing

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.1

INTERACTS = ("user", "interacts", "item")
_RATING = EVENT_TYPES.index("rating")
Stores = dict[Any, dict[str, Any]]
"""A graph in the form of `HeteroData.to_dict`: tensors and counts by node type or edge type."""

TYPE_WEIGHTS = np.array([EVENT_WEIGHTS[name] for name in EVENT_TYPES], dtype=np.float32)
"""The weight of an event, by the index of its type in `EVENT_TYPES`."""


def make_graph(events: Events, sessions: IntArray, item_keys: IntArray) -> tuple[Stores, IntArray]:
    """Return the graph without node features, and the user keys in the order of its user nodes.

    `item_keys` [num_items] is ascending and contains every item of the events. `sessions` is [num_sessions, 2].
    """
    user_keys = persons_of(events["user"], sessions)
    kinds = events["type"].astype(np.int64)
    shares = standing(user_keys, events["item"], kinds, events["quantity"].astype(np.float64))
    stands = shares > 0
    weights = (TYPE_WEIGHTS[kinds] * shares).astype(np.float32)[stands]
    kept = events[stands]
    nodes, users = np.unique(user_keys[stands], return_inverse=True)
    edge_time = torch.from_numpy(kept["time"].astype(np.int64))
    rated = (kept["type"] == _RATING) & np.isfinite(kept["value"])
    train_mask, val_mask, test_mask = time_masks(edge_time)
    edges = {
        "edge_index": torch.from_numpy(np.stack([users.ravel(), np.searchsorted(item_keys, kept["item"])])),
        "edge_time": edge_time,
        "edge_key": torch.from_numpy(kept["key"].astype(np.int64)),
        "edge_type_code": torch.from_numpy(kept["type"].astype(np.int8)),
        "edge_weight": torch.from_numpy(weights),
        "y": torch.from_numpy(np.where(rated, kept["value"], weights).astype(np.float32)),
        "rated": torch.from_numpy(rated),
        "train_mask": train_mask,
        "val_mask": val_mask,
        "test_mask": test_mask,
    }
    item = {"num_nodes": len(item_keys)}
    return {"_global_store": {}, "user": {"num_nodes": len(nodes)}, "item": item, INTERACTS: edges}, nodes


def trained_items(stores: Stores) -> IntArray:
    """Return the rows of the items with an event in the training window, ascending. Item features are fitted on
    them."""
    edges = stores[INTERACTS]
    found: IntArray = edges["edge_index"][1][edges["train_mask"]].unique().numpy()
    return found


def features_of(stores: Stores) -> dict[str, torch.Tensor]:
    """Return the features of the nodes [num_nodes, width]: `item.x`, `item.stats`, `user.x`. Old graphs have only
    `item.x`."""
    names = (("item", "x"), ("item", "stats"), ("user", "x"))
    return {f"{node}.{name}": stores[node][name] for node, name in names if name in stores[node]}


def time_masks(
    edge_time: torch.Tensor, validation_share: float = VALIDATION_SHARE, test_share: float = TEST_SHARE
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return train, validation and test masks [num_events] of events sorted by time. The last shares are held out.

    Events of the same time (a basket) are in the same window.
    """
    n = edge_time.numel()
    if n == 0:
        empty = torch.zeros(0, dtype=torch.bool)
        return empty, empty.clone(), empty.clone()
    first_val, first_test = (
        edge_time[min(int(n * share), n - 1)] for share in (1 - validation_share - test_share, 1 - test_share)
    )
    return edge_time < first_val, (edge_time >= first_val) & (edge_time < first_test), edge_time >= first_test
