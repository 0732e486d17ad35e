"""GraphSAGE's item embeddings in plain PyTorch Geometric: no code of the program that fitted the weights is needed.

`sagestream export --format pyg` puts this file beside `encoder_pyg.pt`, the weights, and `graph.pt`, the graph that
the model knows. To embed the items again, or to go on from there:

    python encoder_pyg.py --out item_embeddings.pt

    from encoder_pyg import load_encoder, load_graph
    encoder, data = load_encoder(), load_graph()
    embeddings = encoder(data)  # [num_items, dim]

The graph is bipartite, and users only pass messages on. A layer is two convolutions (Hamilton et al., "Inductive
representation learning on large graphs", 2017): users take in their items, items take in their users, and what comes
out is added to the item. The batches of PyTorch Geometric's loaders, which name their items by `n_id`, go in like the
whole graph.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import SAGEConv

HERE = Path(__file__).resolve().parent
WEIGHTS = "encoder_pyg.pt"
GRAPH = "graph.pt"

TO_ITEMS = ("user", "interacts", "item")
TO_USERS = ("item", "rev_interacts", "user")


class ItemEncoder(nn.Module):
    """Embeddings of items from their features, an ID embedding each, and who took what.

    Args:
        num_items: rows of the ID embedding; a row of zeros lets an item's features speak alone.
        feature_width: columns of the items' `x`; 0 for none.
        dim: width of the embeddings.
        num_layers: users are two hops away in each.
        aggr: "mean", or "max" of relu(W x + b) over the neighbours.
    """

    def __init__(self, num_items: int, feature_width: int, dim: int, num_layers: int, aggr: str) -> None:
        super().__init__()
        pooled = aggr == "max"
        self.item_id = nn.Parameter(torch.zeros(num_items, dim))
        self.project = nn.Linear(feature_width, dim, bias=False) if feature_width else None
        self.to_users = nn.ModuleList(
            SAGEConv((dim, dim), dim, aggr=aggr, project=pooled, root_weight=False, bias=False)
            for _ in range(num_layers)
        )
        self.to_items = nn.ModuleList(SAGEConv((dim, dim), dim, aggr=aggr, project=pooled) for _ in range(num_layers))

    def forward(self, data: HeteroData) -> Tensor:
        """[num_items, dim] of the items of `data`: all of them in their order, or those of a batch by their `n_id`."""
        items = data["item"]
        h = self.item_id[items.n_id] if "n_id" in items else self.item_id  # [n, dim]
        if self.project is not None:
            h = h + self.project(items.x)
        sizes = (h.size(0), data["user"].num_nodes)
        total = h
        for to_users, to_items in zip(self.to_users, self.to_items, strict=True):
            users = to_users((h, None), data[TO_USERS].edge_index, size=sizes)  # [num_users, dim]
            h = h + to_items((users, h), data[TO_ITEMS].edge_index, size=sizes[::-1]).relu()
            total = total + h
        return total / (len(self.to_items) + 1)


def load_encoder(path: Path = HERE / WEIGHTS) -> ItemEncoder:
    """The encoder with its weights."""
    saved = torch.load(path, weights_only=True)
    encoder = ItemEncoder(**saved["settings"])
    encoder.load_state_dict(saved["state_dict"])
    return encoder.eval()


def load_graph(path: Path = HERE / GRAPH) -> HeteroData:
    """The graph: `x` of the items, users without features, and each pair of a user and an item once, both ways."""
    return HeteroData.from_dict(torch.load(path, weights_only=True))


@torch.no_grad()
def main() -> None:
    """Embed the items, and keep the embeddings where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="the file to write the item embeddings to")
    out: Path | None = parser.parse_args().out
    embeddings = load_encoder()(load_graph())
    print(f"{embeddings.size(0)} items, {embeddings.size(1)} dimensions")
    if out is not None:
        torch.save(embeddings, out)


if __name__ == "__main__":
    main()
