"""Export of GraphSAGE's item tower as layers of PyTorch Geometric's `SAGEConv`, with the graph to run it on.

Arrives: a fitted `SageTerm`, and the snapshot of its model. Leaves: `encoder_pyg.py`, `encoder_pyg.pt` and `graph.pt`.
Next: programs that use PyTorch Geometric without this code. `training.export.encoder` calls this module.

A bundle contains no events, so the graph comes from the snapshot. The weight W [dim, 2 · dim] of our layer becomes two
weights of `SAGEConv`: the first half is the root weight (`lin_r`), the second half is the neighbour weight (`lin_l`),
which also has the bias. Towards users the weight is the identity. `tests/training/sage/test_model.py` compares the
layers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphstore.snapshots.files import Snapshot
from training.data.dataset import Dataset
from training.export import encoder_pyg
from training.export.encoder_pyg import GRAPH, TO_ITEMS, TO_USERS, WEIGHTS, ItemTower, load_encoder, load_graph
from training.graph.bipartite import BipartiteGraph
from training.models.recommender import Recommender
from training.sage.model import GraphSAGE
from training.sage.term import SageTerm

SCRIPT = Path(encoder_pyg.__file__).name
FILES = (SCRIPT, WEIGHTS, GRAPH)


@dataclass(frozen=True)
class ItemGraph:
    """The inputs of a model's item tower."""

    graph: BipartiteGraph
    features: Tensor  # [num_items, width]

    @classmethod
    def of(cls, model: Recommender, snapshot: Snapshot) -> "ItemGraph":
        """Take the events of the snapshot that the model knows, and the features of its items."""
        dataset = Dataset.from_snapshot(snapshot, first_keys=model.item_keys, first_ids=model.item_ids)
        log = dataset.log.between(end=model.as_of)
        log = log.take(np.flatnonzero(log.items < model.num_items))
        graph = BipartiteGraph.from_log(log)
        if model.encoder is None:
            features = torch.zeros(model.num_items, 0)
        else:
            features = model.encoder.transform(dataset.catalogue)[: model.num_items]
        return cls(BipartiteGraph(graph.users, graph.items, graph.num_users, model.num_items), features)


def write_pyg(term: SageTerm, items: ItemGraph, directory: Path) -> None:
    """Write the three `FILES`: a copy of `training.export.encoder_pyg`, its weights, and its graph."""
    (directory / SCRIPT).write_text(Path(encoder_pyg.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    model = term.model
    settings: dict[str, Any] = {
        "num_items": term.num_items,
        "feature_width": 0 if model.project is None else model.project.in_features,
        "dim": term.config.dim,
        "num_layers": term.config.layers,
        "aggr": term.config.aggregation,
    }
    encoder = ItemTower(**settings)
    _take_weights(encoder, model)
    torch.save({"settings": settings, "state_dict": encoder.state_dict()}, directory / WEIGHTS)
    torch.save(_hetero_data(items).to_dict(), directory / GRAPH)


@torch.no_grad()
def difference(term: SageTerm, items: ItemGraph, directory: Path) -> float:
    """Load the files and run them; return the largest difference from the model on the same graph."""
    found = load_encoder(directory / WEIGHTS)(load_graph(directory / GRAPH))
    expected = term.model.encode_items(items.features, items.graph)
    return float((found - expected).abs().max()) if found.numel() else 0.0


@torch.no_grad()
def difference_as_served(term: SageTerm, items: ItemGraph) -> float:
    """Return the largest difference between the embeddings on this graph and the served embeddings.

    It exceeds rounding errors when a user was forgotten after the training.
    """
    served = term.state()["embeddings"]
    now = term.model.encode_items(items.features, items.graph)
    return float((now - served).abs().max()) if served.numel() else 0.0


@torch.no_grad()
def _take_weights(encoder: ItemTower, model: GraphSAGE) -> None:
    dim = model.item_id.size(1)
    encoder.item_id.copy_(model.item_id)
    if encoder.project is not None and model.project is not None:
        encoder.project.load_state_dict(model.project.state_dict())
    for layer, weights in enumerate(model.layers):
        assert isinstance(weights, nn.Linear)
        users: Any = encoder.to_users[layer]  # `SAGEConv`, whose linear parts PyTorch Geometric types as any module
        items: Any = encoder.to_items[layer]
        users.lin_l.weight.copy_(torch.eye(dim))
        items.lin_r.weight.copy_(weights.weight[:, :dim])
        items.lin_l.weight.copy_(weights.weight[:, dim:])
        items.lin_l.bias.copy_(weights.bias)
        pairs: tuple[tuple[Any, Any], ...] = ((users, model.to_users[layer]), (items, model.to_items[layer]))
        for theirs, ours in pairs:
            if theirs.project:
                theirs.lin.load_state_dict(ours.linear.state_dict())


def _hetero_data(items: ItemGraph) -> HeteroData:
    data = HeteroData()
    data["item"].x = items.features
    data["user"].num_nodes = items.graph.num_users
    pairs = torch.from_numpy(np.stack([items.graph.users, items.graph.items]))
    data[TO_ITEMS].edge_index = pairs
    data[TO_USERS].edge_index = pairs.flip(0)
    return data
