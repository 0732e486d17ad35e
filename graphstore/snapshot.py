"""Snapshots: the graph as of a time, as a PyTorch Geometric `HeteroData` in an immutable directory.

Arrives: the SQL graph. Leaves: `snapshots/<snapshot_id>/`. Next: `training` fits on it.

A snapshot is named by its `as_of` (event time) and the last ingested row that it saw: the same pair reads the same
rows and gives the same files, bit for bit; a late event raises the row and so makes a new snapshot. The catalogue has
no history: a snapshot that is made again after a title or a price changed holds the new one. Edges are events, one
edge an interaction and in event order, because the causal user tower and the trend need each event's own time;
`graphstore.queries` reads the aggregated `edges` where one edge a pair is enough.
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sqlalchemy import Connection, Engine, func, insert, select
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import EdgeStorage

from graphstore.catalogue import Catalogue
from graphstore.report import get_graph_report
from graphstore.session import read, write
from graphstore.tables import EVENT_TYPES, EVENT_WEIGHTS, interactions, items, snapshots, users

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.1

INTERACTS = ("user", "interacts", "item")


Featurize = Callable[[Catalogue], torch.Tensor]
"""Turns the catalogue into item features `[num_items, width]`; `training.features` has ours."""


@dataclass(frozen=True)
class Snapshot:
    """A graph as of a time. Events are sorted by (event_time, ingestion), so a time window is a slice."""

    snapshot_id: str
    path: Path
    as_of: int
    """Epoch milliseconds: only events strictly before it are in the graph."""
    last_interaction_key: int
    graph: HeteroData
    """`user.num_nodes`; `item.x` [num_items, width]; on (user, interacts, item): `edge_index` [2, num_events],
    `edge_time` [num_events] int64 ms, `edge_type_code` [num_events] int8 (place in EVENT_TYPES), `edge_weight`
    [num_events] float32, `y` [num_events] float32 (rating, else weight), `train_mask`, `val_mask`, `test_mask`."""
    user_ids: list[str]
    item_ids: list[str]
    user_keys: npt.NDArray[np.int64]
    item_keys: npt.NDArray[np.int64]
    catalogue: Catalogue

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @property
    def events(self) -> EdgeStorage:
        """The store of (user, interacts, item), sorted by time."""
        return self.graph[INTERACTS]

    @property
    def num_events(self) -> int:
        return int(self.events.edge_index.size(1))


def snapshot_id(as_of: int, last_interaction_key: int) -> str:
    """The name of a snapshot: readable, sortable by time, unique by what it saw."""
    return f"s{as_of:013d}-{last_interaction_key}"


def build_snapshot(
    engine: Engine, directory: Path, *, as_of: int, created_at: int, featurize: Featurize | None = None
) -> Snapshot:
    """Read the graph as of `as_of` (epoch ms, exclusive) and keep it under `directory`.

    Where the same pair was built before, that directory is read instead. `featurize` makes `item.x`; without it the
    features are empty. `created_at` (epoch ms) is written to the table `snapshots` only, so that files stay equal.
    Writers are not kept waiting: everything is read in one read transaction, the row is entered in another.
    """
    with read(engine) as connection:
        newest = select(func.max(interactions.c.interaction_key)).where(interactions.c.event_time < as_of)
        last_key = int(connection.scalar(newest) or 0)
        path = directory / snapshot_id(as_of, last_key)
        if not path.exists():
            _save(_read(connection, path, as_of=as_of, last_key=last_key, featurize=featurize))
    snapshot = load_snapshot(path)
    with write(engine) as connection:
        known = connection.scalar(select(func.count()).where(snapshots.c.snapshot_id == snapshot.snapshot_id))
        if not known:
            connection.execute(
                insert(snapshots).values(
                    snapshot_id=snapshot.snapshot_id,
                    as_of=as_of,
                    last_interaction_key=last_key,
                    path=str(path.resolve()),
                    created_at=created_at,
                    users=snapshot.num_users,
                    items=snapshot.num_items,
                    interactions=snapshot.num_events,
                )
            )
    return snapshot


def _read(connection: Connection, path: Path, *, as_of: int, last_key: int, featurize: Featurize | None) -> Snapshot:
    seen = (interactions.c.event_time < as_of, interactions.c.interaction_key <= last_key)
    columns = (
        interactions.c.user_key,
        interactions.c.item_key,
        interactions.c.event_time,
        interactions.c.event_type,
        interactions.c.value,
    )
    query = select(*columns).where(*seen).order_by(interactions.c.event_time, interactions.c.interaction_key)
    chunks: list[npt.NDArray[np.float64]] = []
    # Doubles hold every integer below 2**53 exactly: one array a chunk, whatever the column.
    for rows in connection.execute(query, execution_options={"stream_results": True}).partitions(100_000):
        chunks.append(np.array([tuple(row) for row in rows], dtype=np.float64))  # noqa: PERF401
    events = np.concatenate(chunks) if chunks else np.empty((0, len(columns)))
    event_users, event_items, event_time, event_type = (events[:, i].astype(np.int64) for i in range(4))
    value = events[:, 4].astype(np.float32)

    user_rows = connection.execute(select(users.c.user_key, users.c.user_id).order_by(users.c.user_key)).all()
    active_users = np.unique(event_users)
    names = {int(key): str(user_id) for key, user_id in user_rows}
    item_keys, item_ids, catalogue = _read_items(connection, np.unique(event_items), as_of)

    graph = HeteroData()
    graph["user"].num_nodes = len(active_users)
    graph["item"].num_nodes = len(item_keys)
    features = featurize(catalogue) if featurize else torch.zeros(len(item_keys), 0)
    graph["item"].x = features.to(torch.float32)
    weights = np.array([EVENT_WEIGHTS[name] for name in EVENT_TYPES], dtype=np.float32)[event_type]
    edges = graph[INTERACTS]
    edges.edge_index = torch.from_numpy(
        np.stack([np.searchsorted(active_users, event_users), np.searchsorted(item_keys, event_items)])
    )
    edges.edge_time = torch.from_numpy(event_time)
    edges.edge_type_code = torch.from_numpy(event_type.astype(np.int8))
    edges.edge_weight = torch.from_numpy(weights)
    rated = (event_type == EVENT_TYPES.index("rating")) & np.isfinite(value)
    edges.y = torch.from_numpy(np.where(rated, value, weights))
    edges.train_mask, edges.val_mask, edges.test_mask = time_masks(edges.edge_time)
    return Snapshot(
        snapshot_id=path.name,
        path=path,
        as_of=as_of,
        last_interaction_key=last_key,
        graph=graph,
        user_ids=[names[int(key)] for key in active_users],
        item_ids=item_ids,
        user_keys=active_users,
        item_keys=item_keys,
        catalogue=catalogue,
    )


def _read_items(
    connection: Connection, active: npt.NDArray[np.int64], as_of: int
) -> tuple[npt.NDArray[np.int64], list[str], Catalogue]:
    """Items with an event, and items that the catalogue knew by then, in the order of their keys."""
    wanted = set(active.tolist())
    rows = [
        row
        for row in connection.execute(select(items).order_by(items.c.item_key))
        if row.item_key in wanted or (row.available and 0 < row.updated_at < as_of)
    ]
    catalogue = Catalogue(
        titles=[row.title for row in rows],
        categories=[json.loads(row.categories) for row in rows],
        brands=[row.brand for row in rows],
        prices=np.array([np.nan if row.price is None else row.price for row in rows], dtype=np.float32),
        available=np.array([row.available for row in rows], dtype=np.bool_),
    )
    return np.array([row.item_key for row in rows], dtype=np.int64), [row.item_id for row in rows], catalogue


def time_masks(
    edge_time: torch.Tensor, validation_share: float = VALIDATION_SHARE, test_share: float = TEST_SHARE
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Train, validation and test masks `[num_events]` of events sorted by time: the last shares, cut between times.

    Events of one instant (a basket) stay on one side of a cut.
    """
    n = edge_time.numel()
    if n == 0:
        empty = torch.zeros(0, dtype=torch.bool)
        return empty, empty.clone(), empty.clone()
    first_val, first_test = (
        edge_time[min(int(n * share), n - 1)] for share in (1 - validation_share - test_share, 1 - test_share)
    )
    return edge_time < first_val, (edge_time >= first_val) & (edge_time < first_test), edge_time >= first_test


def _save(snapshot: Snapshot) -> None:
    """Write to a temporary name and rename: a directory with the final name is always whole."""
    temporary = snapshot.path.with_name(f".{snapshot.path.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    edges = snapshot.events
    torch.save(snapshot.graph.to_dict(), temporary / "processed_graph.pt")
    torch.save(edges.edge_index, temporary / "edge_index.pt")
    torch.save(snapshot.graph["item"].x, temporary / "features.pt")
    torch.save(edges.y, temporary / "labels.pt")
    _dump(
        temporary / "mappings.json",
        {
            "user2id": {name: i for i, name in enumerate(snapshot.user_ids)},
            "item2id": {name: i for i, name in enumerate(snapshot.item_ids)},
            "user_keys": snapshot.user_keys.tolist(),
            "item_keys": snapshot.item_keys.tolist(),
        },
    )
    catalogue = snapshot.catalogue
    _dump(
        temporary / "catalogue.json",
        {
            "titles": catalogue.titles,
            "categories": catalogue.categories,
            "brands": catalogue.brands,
            "prices": [None if np.isnan(price) else float(price) for price in catalogue.prices],
            "available": catalogue.available.tolist(),
        },
    )
    _dump(temporary / "meta.json", {"as_of": snapshot.as_of, "last_interaction_key": snapshot.last_interaction_key})
    _dump(temporary / "report.json", get_graph_report(snapshot, render_as="dict"))
    try:
        temporary.rename(snapshot.path)
    except OSError:
        if not snapshot.path.exists():
            raise
        shutil.rmtree(temporary)  # another process built the same pair first: equal by construction


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False))


def load_snapshot(path: Path) -> Snapshot:
    """The snapshot in the directory `path`; raises `FileNotFoundError` where there is none."""
    if not (path / "meta.json").exists():
        raise FileNotFoundError(f"no snapshot at {path}")
    meta = json.loads((path / "meta.json").read_text())
    mappings = json.loads((path / "mappings.json").read_text())
    catalogue = json.loads((path / "catalogue.json").read_text())
    graph = HeteroData.from_dict(torch.load(path / "processed_graph.pt", weights_only=True))
    return Snapshot(
        snapshot_id=path.name,
        path=path,
        as_of=meta["as_of"],
        last_interaction_key=meta["last_interaction_key"],
        graph=graph,
        user_ids=list(mappings["user2id"]),
        item_ids=list(mappings["item2id"]),
        user_keys=np.array(mappings["user_keys"], dtype=np.int64),
        item_keys=np.array(mappings["item_keys"], dtype=np.int64),
        catalogue=Catalogue(
            titles=catalogue["titles"],
            categories=catalogue["categories"],
            brands=catalogue["brands"],
            prices=np.array([np.nan if p is None else p for p in catalogue["prices"]], dtype=np.float32),
            available=np.array(catalogue["available"], dtype=np.bool_),
        ),
    )


def digest(path: Path) -> str:
    """SHA-256 over every file of a snapshot, for the promise "bit for bit"."""
    total = hashlib.sha256()
    for file in sorted(path.iterdir()):
        total.update(file.name.encode())
        total.update(file.read_bytes())
    return total.hexdigest()
