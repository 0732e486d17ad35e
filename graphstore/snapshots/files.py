"""The files of a snapshot's directory: written whole, read without pickle.

Arrives: a `Snapshot` with its events. Leaves: the directory `snapshots/<snapshot_id>/`, or a loaded `Snapshot`. Next:
`graphstore.snapshots.snapshot` builds and opens snapshots, `training` loads them.
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from graphstore.arrays import IntArray
from graphstore.catalogue import Catalogue
from graphstore.errors import UserError, reason
from graphstore.snapshots.eventlog import EVENT, Events, Seen
from graphstore.snapshots.graph import INTERACTS, Stores, features_of

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.data.storage import EdgeStorage

EVENTS_FILE = "events.npy"
SESSIONS_FILE = "sessions.npy"
FEATURES_FILE = "features.pt"
ENCODERS_FILE = "encoders.pt"


@dataclass(frozen=True)
class Snapshot:
    """The graph as of a time. Events are sorted by (event_time, ingestion), so a time window is a slice."""

    snapshot_id: str
    path: Path
    as_of: int
    """Epoch ms. The graph contains only events strictly before this time."""
    last_interaction_key: int
    stores: Stores
    """What `graph` is made from: `user.x` [num_users, width]; `item.x` [num_items, width], which holds nothing of any
    event, and `item.stats` [num_items, 6], which does (see `graphstore.snapshots.statistics`); on (user, interacts,
    item): `edge_index` [2, num_events], `edge_time` [num_events] int64 ms, `edge_key` [num_events] int64 (the row of
    `interactions`), `edge_type_code` [num_events] int8 (place in EVENT_TYPES), `edge_weight` [num_events] float32, `y`
    [num_events] float32 (rating where `rated`, else weight), `train_mask`, `val_mask`, `test_mask`. One of an older
    form has `item.x` alone, and no `rated` or `edge_key`."""
    user_ids: list[str]
    item_ids: list[str]
    user_keys: IntArray
    item_keys: IntArray
    catalogue: Catalogue
    compaction_horizon: int = 0
    """Epoch ms. Older interactions were compacted when the snapshot was made; 0: nothing was compacted."""
    known_users: dict[str, int] = field(default_factory=dict)
    """user_key by id of every user with an event, including sessions and users who took back all purchases."""
    encoders: dict[str, Any] = field(default_factory=dict)
    """The states of the feature encoders, for later nodes: `item` (empty without item features) and `statistics`. Old
    snapshots have no encoders."""

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def named_users(self) -> dict[str, int]:
        """user_key by id of every user in the snapshot: `known_users`, and persons whose sessions have the events."""
        return dict(zip(self.user_ids, self.user_keys.tolist(), strict=True)) | self.known_users

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @cached_property
    def graph(self) -> "HeteroData":
        """The graph as `HeteroData`. The first access imports PyTorch Geometric."""
        from torch_geometric.data import HeteroData

        return HeteroData.from_dict(self.stores)

    @property
    def events(self) -> "EdgeStorage":
        """The edge store of (user, interacts, item), sorted by time."""
        return self.graph[INTERACTS]

    @property
    def num_events(self) -> int:
        return int(self.stores[INTERACTS]["edge_index"].size(1))

    @property
    def seen(self) -> Seen:
        """The rows that the snapshot has read."""
        return Seen(self.as_of, self.last_interaction_key)


def save_snapshot(snapshot: Snapshot, events: Events, sessions: IntArray, report: dict[str, Any]) -> Path:
    """Write all files to a temporary directory beside the final one and return its path; `place` renames it.

    After an error the directory is removed: on a full disk each try would leave one.
    """
    temporary = snapshot.path.with_name(f".{snapshot.path.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        _write(temporary, snapshot, events, sessions, report)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return temporary


def _write(temporary: Path, snapshot: Snapshot, events: Events, sessions: IntArray, report: dict[str, Any]) -> None:
    edges = snapshot.stores[INTERACTS]
    np.save(temporary / EVENTS_FILE, events, allow_pickle=False)
    np.save(temporary / SESSIONS_FILE, sessions, allow_pickle=False)
    torch.save(snapshot.stores, temporary / "processed_graph.pt")
    torch.save(edges["edge_index"], temporary / "edge_index.pt")
    torch.save(features_of(snapshot.stores), temporary / FEATURES_FILE)
    torch.save(snapshot.encoders, temporary / ENCODERS_FILE)
    torch.save(edges["y"], temporary / "labels.pt")
    _dump(
        temporary / "mappings.json",
        {
            "user2id": {name: i for i, name in enumerate(snapshot.user_ids)},
            "item2id": {name: i for i, name in enumerate(snapshot.item_ids)},
            "user_keys": snapshot.user_keys.tolist(),
            "item_keys": snapshot.item_keys.tolist(),
            "known_users": snapshot.known_users,
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
    _dump(
        temporary / "meta.json",
        {
            "as_of": snapshot.as_of,
            "last_interaction_key": snapshot.last_interaction_key,
            "compaction_horizon": snapshot.compaction_horizon,
        },
    )
    _dump(temporary / "report.json", report)


def place(temporary: Path, path: Path, *, replace: bool = False) -> None:
    """Rename a complete directory to `path`. An existing one stays, unless `replace` is true.

    After an error the directory is gone, and the one that it should replace is there again, for the next try.
    """
    outgoing = path.with_name(f".erased.{path.name}.{uuid.uuid4().hex}")
    try:
        if replace and path.exists():
            path.rename(outgoing)
        temporary.rename(path)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if outgoing.exists():
            outgoing.rename(path)
        if replace or not path.exists():  # else another process built the same pair first: equal by construction
            raise
    shutil.rmtree(outgoing, ignore_errors=True)


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False))


class NoSnapshot(UserError):
    """There is no snapshot yet, or none of that name, or it is not whole."""


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Around the reading of a snapshot: a file that is missing, cut off or changed raises `NoSnapshot`."""
    try:
        yield
    except (ValueError, LookupError, TypeError, EOFError, RuntimeError, FileNotFoundError, UnpicklingError) as error:
        raise NoSnapshot(
            f"the snapshot {path} is damaged ({reason(error)}): delete this directory and make another one with "
            "`sagestream preprocess`"
        ) from error


def newest_snapshot(directory: Path) -> Path:
    """Return the snapshot with the latest `as_of`. Raises `NoSnapshot`."""
    names = sorted(path.name for path in directory.glob("s*")) if directory.exists() else []
    if not names:
        raise NoSnapshot(f"no snapshot in {directory}: make one with `sagestream preprocess`")
    return directory / names[-1]


def load_snapshot(path: Path) -> Snapshot:
    """Load the snapshot in the directory `path`. Raises `NoSnapshot`."""
    if not (path / "meta.json").exists():
        raise NoSnapshot(f"no snapshot at {path}: name one of `snapshots/` in the state directory, or a directory")
    with _whole(path):
        meta = json.loads((path / "meta.json").read_text())
        mappings = json.loads((path / "mappings.json").read_text())
        catalogue = json.loads((path / "catalogue.json").read_text())
        return Snapshot(
            snapshot_id=path.name,
            path=path,
            as_of=meta["as_of"],
            last_interaction_key=meta["last_interaction_key"],
            compaction_horizon=meta.get("compaction_horizon", 0),
            stores=torch.load(path / "processed_graph.pt", weights_only=True),
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
            known_users=mappings.get("known_users", {}),
            encoders=torch.load(path / ENCODERS_FILE, weights_only=True) if (path / ENCODERS_FILE).exists() else {},
        )


def load_events(path: Path) -> tuple[Events, IntArray] | None:
    """Load the events [num_events] and sessions [num_sessions, 2] of a snapshot; None when an old snapshot has none.

    Raises `NoSnapshot`.
    """
    if not (path / EVENTS_FILE).exists():
        return None
    with _whole(path):
        events = np.load(path / EVENTS_FILE, allow_pickle=False)
        if events.dtype != EVENT:
            return None
        return events, np.load(path / SESSIONS_FILE, allow_pickle=False)


def digest(path: Path) -> str:
    """Return the SHA-256 over all files of a snapshot, to check that two snapshots are equal bit for bit."""
    total = hashlib.sha256()
    for file in sorted(path.iterdir()):
        total.update(file.name.encode())
        total.update(file.read_bytes())
    return total.hexdigest()
