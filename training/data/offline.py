"""Offline data set: an event log in memory with its ids and the catalogue in the same item order.

Arrives: a `stream.sources.table.EventTable`, or two files with a given split. Leaves: `OfflineDataset` or `GivenLogs`.
Next: `training.data.splits` splits the log, `training.benchmark.run` evaluates models on it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from graphstore.catalogue import Catalogue
from graphstore.snapshots.graph import TYPE_WEIGHTS
from graphstore.tables import EVENT_TYPES
from graphstore.takebacks import standing
from stream.events import MAX_ID_LENGTH, CatalogItem, EventType
from stream.sources.files.compressed import UnreadableFile
from stream.sources.table import EventTable, sample_users
from training.data.event_log import EventLog
from training.data.newest_events import LEFT_OUT, newest_of_each_user

TAKEN_BACK = "returned, cancelled, or the return itself"

NO_ITEMS = "lines of a user without items"
LONG_ID = "lines with ids too long"

PURCHASE = EVENT_TYPES.index(EventType.PURCHASE.value)


@dataclass(frozen=True)
class OfflineDataset:
    """Events as rows of users and items, with the ids and the catalogue."""

    log: EventLog
    user_ids: list[str]
    item_ids: list[str]
    catalogue: Catalogue | None = None
    """None when no item has attributes."""
    left_out: dict[str, int] = field(default_factory=dict)
    """The number of events of the table that are not in the log, by reason."""

    @classmethod
    def from_table(
        cls,
        table: EventTable,
        items: Iterable[CatalogItem] = (),
        *,
        min_item_users: int = 1,
        max_users: int | None = None,
        seed: int = 0,
    ) -> "OfflineDataset":
        """Return the events of at most `max_users` users, with the items of at least `min_item_users` of them.

        `seed` selects the users. As in a snapshot, an event has the weight of its type, and a returned purchase does
        not count. Users and items are in the order of their ids. Items without events are left out, because they cannot
        be missing from a list.
        """
        events = sample_users(table.interactions, max_users, min_item_users=min_item_users, seed=seed)
        left_out = {}
        if dropped := len(table.interactions) - len(events):
            left_out["outside the sample"] = dropped
        codes = pd.factorize(events["user_id"])[0].astype(np.int64)
        if (rows := newest_of_each_user(codes)) is not None:
            left_out[LEFT_OUT] = len(events) - len(rows)
            events = events.iloc[rows].reset_index(drop=True)
        users, user_ids = _rows(events["user_id"])
        items_of, item_ids = _rows(events["item_id"])
        types = np.array([EVENT_TYPES.index(name) for name in EventType], dtype=np.int8)[
            pd.Categorical(events["event_type"], categories=[kind.value for kind in EventType]).codes
        ]
        shares = standing(users, items_of, types, events["quantity"].to_numpy(dtype=np.float64))
        stands = shares > 0
        if not stands.all():
            left_out[TAKEN_BACK] = int((~stands).sum())
        log = EventLog(
            users=users[stands],
            items=items_of[stands],
            times=events["event_time"].to_numpy(dtype=np.int64)[stands],
            types=types[stands],
            weights=TYPE_WEIGHTS[types[stands]] * shares[stands].astype(np.float32),
            num_users=len(user_ids),
            num_items=len(item_ids),
        )
        return cls(log, user_ids, item_ids, catalogue_of(item_ids, items), left_out)


def catalogue_of(item_ids: Sequence[str], items: Iterable[CatalogItem]) -> Catalogue | None:
    """Return the attributes of these items, in their order. None when all are unknown."""
    known = {item.item_id: item for item in items}
    found = [known.get(item_id) for item_id in item_ids]
    if not any(found):
        return None
    return Catalogue(
        titles=["" if item is None else item.title for item in found],
        categories=[[] if item is None else list(item.categories) for item in found],
        brands=["" if item is None else item.brand for item in found],
        prices=np.array(
            [np.nan if item is None or item.price is None else item.price for item in found], dtype=np.float32
        ),
        available=np.array([item is None or item.available for item in found], dtype=np.bool_),
    )


@dataclass(frozen=True)
class GivenLogs:
    """A given split: two logs with the same user and item rows."""

    train: EventLog
    test: EventLog
    user_ids: list[str]
    item_ids: list[str]
    left_out: dict[str, int]
    """The number of lines left out, by reason."""


def read_given(train: Path, test: Path) -> GivenLogs:
    """Read two files of lines `user item item …` without times, in the format of the LightGCN data sets.

    Each pair is a purchase, in the order of the file. A repeated pair counts once. Raises `UnreadableFile`.
    """
    parts = [_user_lines(path) for path in (train, test)]
    pairs = [pairs for pairs, _ in parts]
    users, user_ids = _rows(pd.Series([user for part in pairs for user, _ in part], dtype="string"))
    items, item_ids = _rows(pd.Series([item for part in pairs for _, item in part], dtype="string"))
    cut = len(pairs[0])
    logs = []
    for part in (slice(None, cut), slice(cut, None)):
        count = len(users[part])
        logs.append(
            EventLog(
                users=users[part],
                items=items[part],
                times=np.arange(count),
                types=np.full(count, PURCHASE, dtype=np.int8),
                weights=np.full(count, TYPE_WEIGHTS[PURCHASE], dtype=np.float32),
                num_users=len(user_ids),
                num_items=len(item_ids),
            )
        )
    left_out = {reason: sum(counts[reason] for _, counts in parts) for reason in (NO_ITEMS, LONG_ID)}
    found = {reason: count for reason, count in left_out.items() if count}
    return GivenLogs(logs[0], logs[1], user_ids, item_ids, found)


def _user_lines(path: Path) -> tuple[list[tuple[str, str]], dict[str, int]]:
    pairs: dict[tuple[str, str], None] = {}
    left_out = {NO_ITEMS: 0, LONG_ID: 0}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in file:
                words = line.split()
                ids = [word for word in words if len(word) <= MAX_ID_LENGTH]
                if words and len(words[0]) > MAX_ID_LENGTH:
                    ids = []
                left_out[LONG_ID] += len(words) > len(ids)
                left_out[NO_ITEMS] += len(words) == 1
                pairs.update(((ids[0], item), None) for item in ids[1:])
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path}: {error}") from error
    if not pairs:
        raise UnreadableFile(f"{path}: no line of a user and an item")
    return list(pairs), left_out


def _rows(ids: "pd.Series[str]") -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], list[str]]:
    """Return the row of each event [num_events], and the ids in ascending order."""
    codes, names = pd.factorize(ids, sort=True)
    return codes.astype(np.int64), [str(name) for name in names]
