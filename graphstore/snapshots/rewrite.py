"""A snapshot's directory rewritten without the events of some users.

Arrives: a snapshot's path, user ids. Leaves: the same directory without those users. Next:
`graphstore.snapshots.erasure` finds the directories; `graphstore.snapshots.snapshot` asks for it where somebody was
forgotten after the snapshot was read.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from graphstore.locks import locked
from graphstore.snapshots.eventlog import REWRITE_LOCK
from graphstore.snapshots.files import load_events, load_snapshot, place, save_snapshot
from graphstore.snapshots.graph import make_graph
from graphstore.snapshots.report import get_graph_report
from graphstore.snapshots.statistics import add_statistics


class OlderForm(ValueError):
    """An old snapshot that does not contain its events and cannot be rewritten."""


def erase_users(path: Path, user_ids: Iterable[str]) -> int:
    """Rewrite a snapshot without the events of these ids; return the number of removed events.

    A person's sessions are ids of their own. Items and their features stay, because they contain no events. Statistics
    are computed again. Raises `OlderForm`.
    """
    with locked(path.parent / REWRITE_LOCK):
        return _erase_users(path, set(user_ids))


def _erase_users(path: Path, gone: set[str]) -> int:
    snapshot = load_snapshot(path)
    loaded = load_events(path)
    if loaded is None:
        raise OlderForm(f"{path} is of an older form and cannot be rewritten: delete it")
    events, sessions = loaded
    named = snapshot.named_users
    known = {user: key for user, key in named.items() if user in gone}
    if not known:
        return 0
    keys = list(known.values())
    kept = events[~np.isin(events["user"], keys)]
    others = sessions[~np.isin(sessions, keys).any(axis=1)]
    stores, user_keys = make_graph(kept, others, snapshot.item_keys)
    stores["item"]["x"] = snapshot.stores["item"]["x"]
    statistics = add_statistics(stores, snapshot.catalogue, snapshot.as_of)
    names = {key: user for user, key in named.items()}  # a session may belong to a forgotten person
    rewritten = replace(
        snapshot,
        stores=stores,
        user_keys=user_keys,
        user_ids=[names[int(key)] for key in user_keys],
        known_users={user: key for user, key in snapshot.known_users.items() if user not in known},
        encoders={**snapshot.encoders, "statistics": statistics},
    )
    place(save_snapshot(rewritten, kept, others, get_graph_report(rewritten)), path, replace=True)
    return len(events) - len(kept)
