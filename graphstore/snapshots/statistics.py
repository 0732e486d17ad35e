"""Statistics of each user and item in the training window: counts, ratings, categories and recency.

Arrives: the graph of `graphstore.snapshots.graph`, the items' categories. Leaves: `user.x` and `item.stats`. Next: a
snapshot stores them with their encoder, for models that read node features.

The statistics use only the training window, so they contain nothing of the validation and test windows. But at the end
of the training window a count contains the future of every training target. Our GraphSAGE learns from events inside
that window, so it uses neither: its item tower reads `item.x`, which contains no events, and its user tower reads the
user's own past. Therefore the statistics of an item are separate from its `x`, and no bundle contains this encoder.
The statistics are for models that are fitted on one window and asked about the next.

The encoder is not with the item features in `training`, because an erasure must recompute these numbers, and erasure
belongs to this floor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from graphstore.arrays import BoolArray, Float32Array, Float64Array, Int8Array, IntArray
from graphstore.catalogue import Catalogue
from graphstore.hashing import hashed
from graphstore.snapshots.graph import INTERACTS, Stores
from graphstore.tables import EVENT_TYPES, TAKE_BACKS

COUNTED = tuple(name for name in EVENT_TYPES if name not in TAKE_BACKS)
"""The counted event types, in the order of their columns. Take-backs are not edges and are not counted."""

USER_COLUMNS = (*COUNTED, "mean rating", "recency")
ITEM_COLUMNS = (*COUNTED, "recency")
"""The scaled columns. For users, `PROFILE_DIM` columns of the category profile follow."""

PROFILE_DIM = 32
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each column, over the nodes in the training window."""

    mean: torch.Tensor  # [num_columns] float64
    deviation: torch.Tensor  # [num_columns] float64

    @classmethod
    def fit(cls, columns: Float64Array, known: BoolArray) -> Self:
        """Fit on columns [num_nodes, num_columns] of the `known` nodes [num_nodes]. NaN means that a value is
        missing."""
        means, deviations = [], []
        for column in columns[known].T:
            there = column[np.isfinite(column)]
            means.append(float(there.mean()) if len(there) else 0.0)
            deviations.append(float(there.std()) if len(there) else 0.0)
        return cls(torch.tensor(means, dtype=torch.float64), torch.tensor(deviations, dtype=torch.float64))

    def __call__(self, columns: Float64Array) -> torch.Tensor:
        """Return standardised columns [num_nodes, num_columns] float32. Missing values and constant columns become
        0."""
        spread = self.deviation.numpy()
        scaled = (columns - self.mean.numpy()) / np.where(spread > 1e-9, spread, np.inf)
        return torch.from_numpy(np.nan_to_num(scaled, nan=0.0)).float()


@dataclass(frozen=True)
class StatisticsEncoder:
    """An encoder that is fitted on the training window of one graph and applied unchanged to later nodes and events."""

    user: Scale
    item: Scale

    @classmethod
    def fit(cls, stores: Stores, events: torch.Tensor, *, as_of: int) -> Self:
        """Fit on the nodes of the `events` [num_events] (bool mask), with recency measured at `as_of` (epoch ms)."""
        window = _EventWindow.of(stores, events)
        return cls(
            Scale.fit(_user_columns(window, as_of), window.degrees("user") > 0),
            Scale.fit(_item_columns(window, as_of), window.degrees("item") > 0),
        )

    def transform(
        self, stores: Stores, events: torch.Tensor, categories: Sequence[Sequence[str]], *, as_of: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `user.x` [num_users, 7 + 32] and `item.stats` [num_items, 6], both float32.

        The columns of a user are, standardised: log(1 + count) of each type in `COUNTED`, the mean rating, and log(1 +
        days from the newest event to `as_of`); then the hashed categories of the user's items, summed and normalised.
        An item has the same counts and recency. A node without events has counts of 0 and the mean of other columns.

        Args:
            stores: the graph.
            events: mask of the events that count [num_events].
            categories: the categories of each item [num_items].
            as_of: epoch ms at which recency is measured.
        """
        window = _EventWindow.of(stores, events)
        profile = _profiles(window, hashed(categories, PROFILE_DIM).numpy())
        user = torch.cat([self.user(_user_columns(window, as_of)), profile], dim=1)
        return user, self.item(_item_columns(window, as_of))

    def state(self) -> dict[str, torch.Tensor]:
        """Return a state for `torch.save` that `torch.load` reads with `weights_only=True`."""
        return {
            f"{node}_{name}": getattr(scale, name)
            for node, scale in (("user", self.user), ("item", self.item))
            for name in ("mean", "deviation")
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the encoder of a state."""
        return cls(*(Scale(state[f"{node}_mean"], state[f"{node}_deviation"]) for node in ("user", "item")))


def training_end(stores: Stores, *, as_of: int) -> int:
    """Return the end of the training window (epoch ms): the first event outside it, or `as_of` when there is none."""
    later = stores[INTERACTS]["edge_time"][~stores[INTERACTS]["train_mask"]]
    return int(later.min()) if later.numel() else as_of


@dataclass(frozen=True)
class _EventWindow:
    """The counted events as columns, oldest first."""

    nodes: dict[str, IntArray]  # for user and item: the node of each event [n]
    sizes: dict[str, int]
    kinds: Int8Array  # [n] index in EVENT_TYPES
    times: IntArray  # [n] epoch ms
    ratings: Float64Array  # [n] NaN when missing

    @classmethod
    def of(cls, stores: Stores, events: torch.Tensor) -> Self:
        edges = stores[INTERACTS]
        users, items = edges["edge_index"][:, events].numpy()
        ratings = np.where(edges["rated"][events].numpy(), edges["y"][events].double().numpy(), np.nan)
        return cls(
            nodes={"user": users, "item": items},
            sizes={name: int(stores[name]["num_nodes"]) for name in ("user", "item")},
            kinds=edges["edge_type_code"][events].numpy(),
            times=edges["edge_time"][events].numpy(),
            ratings=ratings,
        )

    def degrees(self, node: str) -> IntArray:
        return np.bincount(self.nodes[node], minlength=self.sizes[node])

    def log_counts(self, node: str) -> Float64Array:
        """[num_nodes, len(COUNTED)]"""
        counts = [
            np.bincount(self.nodes[node][self.kinds == EVENT_TYPES.index(name)], minlength=self.sizes[node])
            for name in COUNTED
        ]
        logs: Float64Array = np.log1p(np.stack(counts, axis=1))
        return logs

    def log_days(self, node: str, as_of: int) -> Float64Array:
        """[num_nodes, 1], NaN for a node without events."""
        newest = np.full(self.sizes[node], np.nan)
        newest[self.nodes[node]] = self.times  # sorted by time: the last one stays
        logs: Float64Array = np.log1p(np.maximum(as_of - newest, 0.0) / DAY_MS)
        return logs[:, None]

    def mean_ratings(self, node: str) -> Float64Array:
        """[num_nodes, 1], NaN for a node without ratings."""
        rated = np.isfinite(self.ratings)
        rows = self.nodes[node][rated]
        count = np.bincount(rows, minlength=self.sizes[node])
        total = np.bincount(rows, weights=self.ratings[rated], minlength=self.sizes[node])
        means: Float64Array = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        return means[:, None]


def _user_columns(window: _EventWindow, as_of: int) -> Float64Array:
    return np.concatenate(
        [window.log_counts("user"), window.mean_ratings("user"), window.log_days("user", as_of)], axis=1
    )


def _item_columns(window: _EventWindow, as_of: int) -> Float64Array:
    return np.concatenate([window.log_counts("item"), window.log_days("item", as_of)], axis=1)


def _profiles(window: _EventWindow, shelves: Float32Array) -> torch.Tensor:
    """Return the normalised sum of the shelves [num_items, dim] of each user's items [num_users, dim]."""
    users, items = window.nodes["user"], window.nodes["item"]
    # One column at a time needs memory for one number per event, and always sums in the same order.
    sums = [np.bincount(users, weights=column[items], minlength=window.sizes["user"]) for column in shelves.T]
    # Without events `bincount` returns integers.
    return torch.nn.functional.normalize(torch.from_numpy(np.stack(sums, axis=1)).double(), dim=1).float()


def add_statistics(stores: Stores, catalogue: Catalogue, as_of: int) -> dict[str, Any]:
    """Add the statistics of the training window to the graph; return the state of their encoder."""
    events, end = stores[INTERACTS]["train_mask"], training_end(stores, as_of=as_of)
    encoder = StatisticsEncoder.fit(stores, events, as_of=end)
    stores["user"]["x"], stores["item"]["stats"] = encoder.transform(stores, events, catalogue.categories, as_of=end)
    return encoder.state()
