"""Snapshots: the graph as of a time, in an immutable directory.

Arrives: the SQL graph. Leaves: `snapshots/<snapshot_id>/`. Next: `training` fits on it.

A snapshot is named by its `as_of` (event time) and the last ingested row that it saw: the same pair reads the same
rows and gives the same files, bit for bit; a late event raises the row and so makes a new snapshot. It reads from SQL
only what the snapshot before it has not. The catalogue and the logins have no such history: a snapshot that is made
again after a title changed, or after a session of that time logged in, holds the new state. An erasure takes the
user's events out of the directories, too.
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
from graphstore.session import read, write
from graphstore.snapshots.eventlog import (
    EVENT,
    Events,
    Seen,
    last_key,
    merge,
    read_events,
    read_sessions,
    snapshot_id,
    snapshots_in,
)
from graphstore.snapshots.files import Snapshot, load_events, load_snapshot, place, save_snapshot
from graphstore.snapshots.graph import make_graph, trained_items
from graphstore.snapshots.report import get_graph_report
from graphstore.snapshots.rewrite import erase_users
from graphstore.snapshots.statistics import add_statistics
from graphstore.state import get_states
from graphstore.tables import COMPACTION_HORIZON, erasures, items, snapshots, users

Featurize = Callable[[Catalogue, IntArray], tuple[torch.Tensor, dict[str, Any]]]
"""Fits an encoder on the items at these rows of the catalogue, and gives the features of all of them
`[num_items, width]` with the encoder's state; `training.features.snapshot_features` has ours."""


class BeforeCompaction(ValueError):
    """The time asked for lies before the compaction horizon: its interactions were thinned out."""


def build_snapshot(
    engine: Engine, directory: Path, *, as_of: int, created_at: int, featurize: Featurize | None = None
) -> Snapshot:
    """Read the graph as of `as_of` (epoch ms, exclusive) and keep it under `directory`.

    Where the same pair was built before, that directory is read instead. `featurize` makes `item.x`; without it the
    features are empty. `user.x` and `item.stats` are of `graphstore.snapshots.statistics`. `created_at` (epoch ms) is
    written to the table `snapshots` only, so that files stay equal. Writers are not kept waiting: everything is read in
    one read transaction, the row is entered in another. Raises `BeforeCompaction`.
    """
    with write(engine) as connection:
        seen = Seen(as_of, last_key(connection, as_of))
    path = directory / snapshot_id(seen)
    if not path.exists():
        with read(engine) as connection:
            made, events, sessions = _read(connection, directory, seen, featurize)
        place(save_snapshot(made, events, sessions, get_graph_report(made)), path)
    snapshot = open_snapshot(engine, path)
    with write(engine) as connection:
        known = connection.scalar(select(func.count()).where(snapshots.c.snapshot_id == snapshot.snapshot_id))
        if not known:
            connection.execute(
                insert(snapshots).values(
                    snapshot_id=snapshot.snapshot_id,
                    as_of=as_of,
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
    connection: Connection, directory: Path, seen: Seen, featurize: Featurize | None
) -> tuple[Snapshot, Events, IntArray]:
    horizon = get_states(connection).get(COMPACTION_HORIZON, 0)
    if seen.as_of < horizon:
        raise BeforeCompaction(
            f"interactions before {horizon} (epoch ms) were thinned out: no graph as of {seen.as_of}"
        )
    parent, older = _parent(directory, seen, horizon)
    events = merge(older, read_events(connection, seen, parent=parent)) if parent else read_events(connection, seen)
    names = {int(row[0]): str(row[1]) for row in connection.execute(select(users.c.user_key, users.c.user_id))}
    # The parent may still hold somebody who was forgotten a moment ago.
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
    """The snapshot that has most of the rows already, and its events."""
    candidates = [(known.last_key, known.as_of, path) for known, path in snapshots_in(directory) if seen.covers(known)]
    for key, as_of, path in sorted(candidates, reverse=True):
        loaded = load_events(path)
        if loaded is not None and json.loads((path / "meta.json").read_text())["compaction_horizon"] == horizon:
            return Seen(as_of, key), loaded[0]
    return None, np.empty(0, dtype=EVENT)


def _read_items(connection: Connection, active: IntArray, as_of: int) -> tuple[IntArray, list[str], Catalogue]:
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


def open_snapshot(engine: Engine, path: Path) -> Snapshot:
    """One that was built before. Somebody may have been forgotten since it was read from SQL: their events go, too."""
    snapshot = load_snapshot(path)
    with read(engine) as connection:
        gone = set(connection.scalars(select(erasures.c.user_id))).intersection(snapshot.named_users)
    if gone:
        erase_users(snapshot.path, gone)
    return load_snapshot(snapshot.path) if gone else snapshot
