"""Builds snapshots: the graph as of a time, in an immutable directory.

Arrives: the SQL graph. Leaves: the directory `snapshots/<snapshot_id>/`. Next: `training` fits models on it.

The name of a snapshot contains its `as_of` (event time) and the last ingested row that it has read. The same pair reads
the same rows and gives the same files, bit for bit. A late event raises the last row and so makes a new snapshot. A
snapshot reads from SQL only the rows that the snapshot before it does not have. The catalogue and the logins have no
history: a snapshot that is built again contains their newest state. An erasure removes the user's events from existing
snapshots, too.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sqlalchemy import Connection, Engine, func, insert, select

from graphstore.arrays import IntArray, distinct
from graphstore.catalogue import Catalogue
from graphstore.config import SNAPSHOT_READERS, GraphstoreConfig
from graphstore.errors import UserError
from graphstore.session import read, write
from graphstore.snapshots.eventlog import (
    EVENT,
    Events,
    Seen,
    last_key,
    merge,
    read_sessions,
    snapshot_id,
    snapshots_in,
)
from graphstore.snapshots.files import Snapshot, load_events, load_snapshot, place, save_snapshot
from graphstore.snapshots.graph import make_graph, trained_items
from graphstore.snapshots.readers import read_events
from graphstore.snapshots.replica import note_newest_key, open_replica, seen_on, wait_for
from graphstore.snapshots.report import get_graph_report, shown_time
from graphstore.snapshots.rewrite import erase_users
from graphstore.snapshots.statistics import add_statistics
from graphstore.state import get_states
from graphstore.tables import COMPACTION_HORIZON, erasures, items, snapshots, users

Featurize = Callable[[Catalogue, IntArray], tuple[torch.Tensor, dict[str, Any]]]
"""Fits an encoder on these rows of the catalogue. Returns the features of all items [num_items, width] and the state of
the encoder. Ours is in `training.features.snapshot_features`."""


class BeforeCompaction(UserError):
    """The requested time is before the compaction horizon, where interactions were compacted."""


def configured_snapshot(
    engine: Engine, graph: GraphstoreConfig, *, as_of: int, created_at: int, featurize: Featurize
) -> Snapshot:
    """Build the snapshot where the settings keep snapshots, from the replica where they name one (`build_snapshot`)."""
    with open_replica(graph) as replica:
        return build_snapshot(
            engine,
            graph.snapshots_dir,
            as_of=as_of,
            created_at=created_at,
            featurize=featurize,
            replica=replica,
            readers=graph.snapshot_readers,
        )


def build_snapshot(
    engine: Engine,
    directory: Path,
    *,
    as_of: int,
    created_at: int,
    featurize: Featurize | None = None,
    replica: Engine | None = None,
    readers: int = SNAPSHOT_READERS,
) -> Snapshot:
    """Build the snapshot as of `as_of` (epoch ms, exclusive) under `directory`, or open it when it exists.

    All rows are read in one state of the database, so writers do not wait.

    Args:
        engine: the database.
        directory: the directory of all snapshots.
        as_of: epoch ms; events at or after it are left out.
        created_at: epoch ms, stored only in the table `snapshots`, so that the files stay equal bit for bit.
        featurize: makes `item.x`; without it the features are empty.
        replica: is read in place of `engine`. When it is behind, the snapshot is as of an earlier time.
        readers: so many connections read the events on PostgreSQL.

    Raises:
        BeforeCompaction: `as_of` is before the compaction horizon.
        ReplicaBehind: nobody knows what the replica holds.
    """
    if replica is None:
        with write(engine) as connection:
            seen = Seen(as_of, last_key(connection, as_of))
    else:
        note_newest_key(engine, now=created_at)
        wait_for(replica, now=created_at)
    with read(replica or engine) as connection:
        if replica is not None:
            seen = seen_on(connection, as_of, now=created_at)
        path = directory / snapshot_id(seen)
        found = None if path.exists() else _read(connection, directory, seen, featurize, readers)
    if found is not None:
        made, events, sessions = found
        place(save_snapshot(made, events, sessions, get_graph_report(made)), path)
    snapshot = open_snapshot(engine, path)
    with write(engine) as connection:
        known = connection.scalar(select(func.count()).where(snapshots.c.snapshot_id == snapshot.snapshot_id))
        if not known:
            connection.execute(
                insert(snapshots).values(
                    snapshot_id=snapshot.snapshot_id,
                    as_of=seen.as_of,
                    last_interaction_key=seen.last_key,
                    path=str(path.resolve()),
                    created_at=created_at,
                    users=snapshot.num_users,
                    items=snapshot.num_items,
                    interactions=snapshot.num_events,
                )
            )
    return snapshot


def _read(
    connection: Connection, directory: Path, seen: Seen, featurize: Featurize | None, readers: int
) -> tuple[Snapshot, Events, IntArray]:
    horizon = get_states(connection).get(COMPACTION_HORIZON, 0)
    if seen.as_of < horizon:
        raise BeforeCompaction(
            f"interactions before {shown_time(horizon)} UTC were thinned out: no graph as of "
            f"{shown_time(seen.as_of)} UTC"
        )
    parent, older = _parent(directory, seen, horizon)
    events = read_events(connection, seen, parent=parent, readers=readers)
    events = merge(older, events) if parent else events
    names = {int(row[0]): str(row[1]) for row in connection.execute(select(users.c.user_key, users.c.user_id))}
    # The parent may still contain a user who was forgotten after it was built.
    events = events[np.isin(events["user"], np.fromiter(names, dtype=np.int64, count=len(names)))]
    sessions = read_sessions(connection, seen.as_of)
    item_keys, item_ids, catalogue = _read_items(connection, distinct(events["item"]), seen.as_of)
    stores, user_keys = make_graph(events, sessions, item_keys)
    features, item_encoder = (
        featurize(catalogue, trained_items(stores)) if featurize else (torch.zeros(len(item_keys), 0), {})
    )
    stores["item"]["x"] = features.to(torch.float32)
    statistics = add_statistics(stores, catalogue, seen.as_of)
    made = Snapshot(
        snapshot_id=snapshot_id(seen),
        path=directory / snapshot_id(seen),
        as_of=seen.as_of,
        last_interaction_key=seen.last_key,
        compaction_horizon=horizon,
        stores=stores,
        user_ids=[names[int(key)] for key in user_keys],
        item_ids=item_ids,
        user_keys=user_keys,
        item_keys=item_keys,
        catalogue=catalogue,
        known_users={names[int(key)]: int(key) for key in distinct(events["user"])},
        encoders={"item": item_encoder, "statistics": statistics},
    )
    return made, events, sessions


def _parent(directory: Path, seen: Seen, horizon: int) -> tuple[Seen | None, Events]:
    """Return the snapshot that already has the most rows, and its events."""
    candidates = [(known.last_key, known.as_of, path) for known, path in snapshots_in(directory) if seen.covers(known)]
    for key, as_of, path in sorted(candidates, reverse=True):
        loaded = load_events(path)
        if loaded is not None and json.loads((path / "meta.json").read_text())["compaction_horizon"] == horizon:
            return Seen(as_of, key), loaded[0]
    return None, np.empty(0, dtype=EVENT)


def _read_items(connection: Connection, active: IntArray, as_of: int) -> tuple[IntArray, list[str], Catalogue]:
    """Read the items with an event, and the items in the catalogue at that time, in the order of their keys."""
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
        available=np.array([row.available and row.stock != 0 for row in rows], dtype=np.bool_),
    )
    return np.array([row.item_key for row in rows], dtype=np.int64), [row.item_id for row in rows], catalogue


def open_snapshot(engine: Engine, path: Path) -> Snapshot:
    """Open an existing snapshot. Events of users who were forgotten since then are removed first."""
    snapshot = load_snapshot(path)
    with read(engine) as connection:
        gone = set(connection.scalars(select(erasures.c.user_id))).intersection(snapshot.named_users)
    if gone:
        erase_users(snapshot.path, gone)
    return load_snapshot(snapshot.path) if gone else snapshot
