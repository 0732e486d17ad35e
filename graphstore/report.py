"""What a snapshot holds, in numbers: nodes, edges, density, degrees, features, times, masks, cold shares."""

import json
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from rich.console import Console
from rich.table import Table

from graphstore.graph import INTERACTS

if TYPE_CHECKING:
    from graphstore.snapshot_files import Snapshot

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


@overload
def get_graph_report(snapshot: "Snapshot", render_as: Literal["dict"] = "dict") -> dict[str, Any]: ...
@overload
def get_graph_report(snapshot: "Snapshot", render_as: Literal["json"]) -> str: ...
def get_graph_report(snapshot: "Snapshot", render_as: Literal["dict", "json"] = "dict") -> dict[str, Any] | str:
    """The report as a dictionary or as JSON text.

    `edges` counts distinct (user, item) pairs, `interactions` counts events; a node is cold where training saw at
    most two of its events, isolated where it has none at all.
    """
    store = snapshot.stores[INTERACTS]
    user, item = store["edge_index"]
    pairs = torch.unique(user * max(snapshot.num_items, 1) + item).numel()
    train = store["train_mask"]
    cells = snapshot.num_users * snapshot.num_items
    report: dict[str, Any] = {
        "snapshot_id": snapshot.snapshot_id,
        "as_of": snapshot.as_of,
        "users": snapshot.num_users,
        "items": snapshot.num_items,
        "interactions": snapshot.num_events,
        "edges": pairs,
        "density": pairs / cells if cells else 0.0,
        "feature_widths": {"item": int(snapshot.stores["item"]["x"].size(1))},
        "time_range": [int(store["edge_time"][0]), int(store["edge_time"][-1])] if snapshot.num_events else None,
        "masks": {name: int(store[f"{name}_mask"].sum()) for name in ("train", "val", "test")},
        "degrees": {},
        "isolated": {},
        "cold_share": {},
    }
    for name, index, size in (("user", user, snapshot.num_users), ("item", item, snapshot.num_items)):
        degree = torch.bincount(index, minlength=size)
        trained = torch.bincount(index[train], minlength=size)
        report["degrees"][name] = {f"{q:g}": float(v) for q, v in zip(QUANTILES, _quantiles(degree), strict=True)}
        report["isolated"][name] = int((degree == 0).sum())
        report["cold_share"][name] = float((trained <= 2).float().mean()) if size else 0.0
    return report if render_as == "dict" else json.dumps(report, indent=2)


def _quantiles(degree: torch.Tensor) -> torch.Tensor:
    # torch.quantile refuses inputs above 16M elements; sorting has no such bound.
    if degree.numel() == 0:
        return torch.zeros(len(QUANTILES))
    ordered = degree.sort().values
    return ordered[(torch.tensor(QUANTILES, dtype=torch.float64) * (ordered.numel() - 1)).round().long()]


def print_graph_report(snapshot: "Snapshot", console: Console | None = None) -> None:
    """The report as a table on the console."""
    report = get_graph_report(snapshot)
    table = Table("measure", "value", title=f"snapshot {report['snapshot_id']}")
    for name, value in report.items():
        for key, part in value.items() if isinstance(value, dict) else [("", value)]:
            shown = f"{part:.6g}" if isinstance(part, float) else str(part)
            table.add_row(f"{name} {key}".strip(), shown)
    (console or Console()).print(table)
