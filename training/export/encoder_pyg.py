"""GraphSAGE's item embeddings in plain PyTorch Geometric, without the code of the program that fitted the weights.

`sagestream export --format pyg` writes this file with the weights (`encoder_pyg.pt`) and the graph that the model knows
(`graph.pt`). To compute the embeddings again, or to continue from them:

    python encoder_pyg.py --out item_embeddings.pt

    from encoder_pyg import load_encoder, load_graph
    encoder, data = load_encoder(), load_graph()
    embeddings = encoder(data)  # [num_items, dim]

The graph is bipartite, and users only pass messages. A layer is two convolutions: users aggregate their items, then
items aggregate their users, and the result is added to the item. The model also accepts batches of PyTorch Geometric's
loaders, which name their items by `n_id`.

Source: Hamilton et al., "Inductive representation learning on large graphs" (2017).
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


class ItemTower(nn.Module):
    """Item embeddings from item features, one ID embedding for each item, and the user–item graph.

    Args:
        num_items: Rows of the ID embedding. A zero row leaves only the item's features.
        feature_width: Columns of the items' `x`, 0 without features.
        dim: Width of the embeddings.
        num_layers: Each layer goes from items to users and back.
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
        """Return embeddings [num_items, dim] for all items in order, or for the items of a batch by `n_id`."""
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


def load_encoder(path: Path = HERE / WEIGHTS) -> ItemTower:
    """Load the encoder with its weights."""
    saved = torch.load(path, weights_only=True)
    encoder = ItemTower(**saved["settings"])
    encoder.load_state_dict(saved["state_dict"])
    return encoder.eval()


def load_graph(path: Path = HERE / GRAPH) -> HeteroData:
    """Load the graph: item features `x`, users without features, and each pair once in both directions."""
    return HeteroData.from_dict(torch.load(path, weights_only=True))


@torch.no_grad()
def main() -> None:
    """Compute the item embeddings and write them to `--out` when it is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="the file to write the item embeddings to")
    out: Path | None = parser.parse_args().out
    embeddings = load_encoder()(load_graph())
    print(f"{embeddings.size(0)} items, {embeddings.size(1)} dimensions")
    if out is not None:
        torch.save(embeddings, out)


if __name__ == "__main__":
    main()
