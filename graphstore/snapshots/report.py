"""The report of a snapshot: nodes, edges, density, degrees, features, times, masks, shares of cold nodes.

Arrives: a `Snapshot`. Leaves: a report as a dictionary, as JSON and as a table; the degree of every node. Next: the
snapshot stores the report, `training.inspection.plots` draws the degrees.
"""

import json
from datetime import UTC, datetime
from typing import Any, Literal, overload

import torch
from rich.console import Console
from rich.table import Table

from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.graph import INTERACTS, features_of

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


@overload
def get_graph_report(snapshot: Snapshot, render_as: Literal["dict"] = "dict") -> dict[str, Any]: ...
@overload
def get_graph_report(snapshot: Snapshot, render_as: Literal["json"]) -> str: ...
def get_graph_report(snapshot: Snapshot, render_as: Literal["dict", "json"] = "dict") -> dict[str, Any] | str:
    """Return the report as a dictionary or as JSON text.

    `edges` counts distinct (user, item) pairs, `interactions` counts events. A node is cold when the training window
    has at most two of its events, and isolated when it has no event.
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
        "feature_widths": {
            name.removesuffix(".x"): int(part.size(1)) for name, part in features_of(snapshot.stores).items()
        },
        "time_range": [int(store["edge_time"][0]), int(store["edge_time"][-1])] if snapshot.num_events else None,
        "masks": {name: int(store[f"{name}_mask"].sum()) for name in ("train", "val", "test")},
        "degrees": {},
        "isolated": {},
        "cold_share": {},
    }
    all_degrees = degrees(snapshot)
    for name, index, size in (("user", user, snapshot.num_users), ("item", item, snapshot.num_items)):
        degree = all_degrees[name]
        trained = torch.bincount(index[train], minlength=size)
        report["degrees"][name] = {f"{q:g}": float(v) for q, v in zip(QUANTILES, _quantiles(degree), strict=True)}
        report["isolated"][name] = int((degree == 0).sum())
        report["cold_share"][name] = float((trained <= 2).float().mean()) if size else 0.0
    return report if render_as == "dict" else json.dumps(report, indent=2)


def degrees(snapshot: Snapshot) -> dict[str, torch.Tensor]:
    """Return the number of events of each node: `user` [num_users] and `item` [num_items]."""
    user, item = snapshot.stores[INTERACTS]["edge_index"]
    sizes = {"user": (user, snapshot.num_users), "item": (item, snapshot.num_items)}
    return {name: torch.bincount(index, minlength=size) for name, (index, size) in sizes.items()}


def _quantiles(degree: torch.Tensor) -> torch.Tensor:
    # torch.quantile refuses inputs above 16M elements; sorting has no such bound.
    if degree.numel() == 0:
        return torch.zeros(len(QUANTILES))
    ordered = degree.sort().values
    return ordered[(torch.tensor(QUANTILES, dtype=torch.float64) * (ordered.numel() - 1)).round().long()]


def print_graph_report(snapshot: Snapshot, console: Console | None = None) -> None:
    """Print the report as a table, with times in UTC."""
    report = get_graph_report(snapshot)
    report["as_of"] = shown_time(report["as_of"])
    if report["time_range"] is not None:
        first, last = map(shown_time, report["time_range"])
        report["time_range"] = {"first": first, "last": last}
    table = Table("measure", "value", title=f"snapshot {report['snapshot_id']}")
    for name, value in report.items():
        for key, part in value.items() if isinstance(value, dict) else [("", value)]:
            table.add_row(f"{name.replace('_', ' ')} {key}".strip(), _shown(part))
    (console or Console()).print(table)


def _shown(value: Any) -> str:
    if isinstance(value, dict):  # quantiles
        return " · ".join(f"{float(at):.0%} {part:,.0f}" for at, part in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def shown_time(epoch_ms: int) -> str:
    """Return the time as a date in UTC."""
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):  # no year of a calendar
        return str(epoch_ms)
