"""Replay: a published data set as a shop whose snapshots grow slice by slice.

Arrives: the name of a data set, and its files. Leaves: `Replay`, which gives the snapshot as of any time. Next:
`benchmarks.incremental` trains on the snapshots.

The first event of a user or an item makes its row, so a snapshot holds only what the shop had at that time. Attributes
of items have no history in these data sets: an item brings them with its first event.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch

from graphstore.arrays import IntArray, distinct
from graphstore.catalogue import Catalogue
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.graph import INTERACTS
from stream.sources.opening import COMPLETE_JOURNEY, open_source
from stream.sources.source import Reading
from stream.sources.table import EventTable
from training.data.event_log import EventLog
from training.data.offline import OfflineDataset

HIN, ONLINE_RETAIL = "amazon_ratings_hin", "online_retail_ii"
JOURNEY = "complete_journey"

FILES = {HIN: "amazon_ratings_hin", ONLINE_RETAIL: "online_retail/online_retail_II.parquet"}
"""Where each data set lies in the folder of `--data`. Complete Journey comes from its package."""

MIN_ITEM_USERS = {HIN: 1, ONLINE_RETAIL: 10, JOURNEY: 40}
"""Items of fewer users are left out, as in the comparison of `docs/benchmarks.md`."""


def read_set(name: str, folder: Path | None, *, max_users: int | None, seed: int) -> OfflineDataset:
    """Read one of `READERS`, with at most `max_users` random users."""
    table = READERS[name](folder)
    return OfflineDataset.from_table(
        table, table.items, min_item_users=MIN_ITEM_USERS[name], max_users=max_users, seed=seed
    )


def _in_folder(source: str, name: str) -> Callable[[Path | None], EventTable]:
    def read(folder: Path | None) -> EventTable:
        if folder is None:
            raise ValueError(f"{name} needs --data")
        return open_source(source, [folder / FILES[name]]).read(Reading())

    return read


READERS: dict[str, Callable[[Path | None], EventTable]] = {
    HIN: _in_folder("table", HIN),
    ONLINE_RETAIL: _in_folder("online-retail", ONLINE_RETAIL),
    JOURNEY: lambda _folder: open_source(COMPLETE_JOURNEY, []).read(Reading()),
}


@dataclass(frozen=True)
class Replay:
    """The events of a data set. Users and items are in the order of their first events."""

    log: EventLog
    item_ids: list[str]
    catalogue: Catalogue
    bounds: IntArray  # [slices + 1] epoch ms; slice s has the events bounds[s] <= time < bounds[s + 1]

    @classmethod
    def of(cls, data: OfflineDataset, *, first_share: float, slices: int) -> Self:
        """Cut the later events into `slices` of equal size. Equal times stay together, so there may be fewer."""
        log = data.log
        users, items = _by_first_event(log.users, log.num_users), _by_first_event(log.items, log.num_items)
        log = replace(log, users=np.argsort(users)[log.users], items=np.argsort(items)[log.items])
        shares = np.linspace(first_share, 1.0, slices + 1)[:-1]
        starts = distinct(log.times[(shares * len(log)).astype(np.int64)])
        catalogue = data.catalogue or Catalogue(
            titles=[""] * log.num_items,
            categories=[[] for _ in range(log.num_items)],
            brands=[""] * log.num_items,
            prices=np.full(log.num_items, np.nan, dtype=np.float32),
            available=np.ones(log.num_items, dtype=np.bool_),
        )
        return cls(
            log=log,
            item_ids=[data.item_ids[item] for item in items],
            catalogue=replace(catalogue.take(items.tolist()), available=np.ones(log.num_items, dtype=np.bool_)),
            bounds=np.append(starts, log.times[-1] + 1),
        )

    @property
    def item_keys(self) -> IntArray:
        return np.arange(self.log.num_items)

    def snapshot(self, as_of: int) -> Snapshot:
        """Return the snapshot of the events before `as_of` (epoch ms), as `graphstore.snapshots` loads one."""
        log = self.log.between(end=as_of)
        users, items = int(log.users.max()) + 1, int(log.items.max()) + 1
        return Snapshot(
            snapshot_id=f"s{as_of}",
            path=Path(f"s{as_of}"),
            as_of=as_of,
            last_interaction_key=len(log),
            stores={
                INTERACTS: {
                    "edge_index": torch.from_numpy(np.stack([log.users, log.items])),
                    "edge_time": torch.from_numpy(log.times),
                    "edge_type_code": torch.from_numpy(log.types),
                    "edge_weight": torch.from_numpy(log.weights),
                }
            },
            user_ids=[str(user) for user in range(users)],
            item_ids=self.item_ids[:items],
            user_keys=np.arange(users),
            item_keys=self.item_keys[:items],
            catalogue=self.catalogue.take(list(range(items))),
        )


def _by_first_event(rows: IntArray, number: int) -> IntArray:
    """Return all rows below `number` in the order of their first place in `rows`. Those without one come last."""
    found, first = np.unique(rows, return_index=True)
    places = np.full(number, len(rows))
    places[found] = first
    return np.argsort(places, kind="stable")
