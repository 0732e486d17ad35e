"""What the events of a training window say of each user and item: counts, ratings, tastes, and how long ago.

Arrives: the graph of `graphstore.snapshots.graph`, the items' categories. Leaves: `user.x` and `item.stats`. Next: a
snapshot keeps them, with the encoder that made them, for models that read node features.

They are of the training window alone, so none of them tells what validation or test hold. But a count as of the end of
the training window tells a training target its own future: GraphSAGE here learns from events in the midst of that
window, so it reads neither. Its item tower has `item.x`, which holds nothing of any event, and its user tower has the
shopper's own past. That is why an item's statistics stand apart from its `x`, and why no bundle holds this encoder:
its place is the snapshot, whose readers are models that are fitted on one window and asked about the next.

It is not with the item features in `training`: whoever is forgotten must leave these numbers too, and erasure, which
belongs to this floor, makes them anew.
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
"""The event types that are counted, in the order of their columns: what was taken back is no edge."""

USER_COLUMNS = (*COUNTED, "mean rating", "recency")
ITEM_COLUMNS = (*COUNTED, "recency")
"""The scaled columns; a user's are followed by `PROFILE_DIM` of the category profile."""

PROFILE_DIM = 32
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each column, of the nodes that the training window knows."""

    mean: torch.Tensor  # [num_columns] float64
    deviation: torch.Tensor  # [num_columns] float64

    @classmethod
    def fit(cls, columns: Float64Array, known: BoolArray) -> Self:
        """From columns [num_nodes, num_columns], NaN where a node has no such number, of the `known` [num_nodes]."""
        means, deviations = [], []
        for column in columns[known].T:
            there = column[np.isfinite(column)]
            means.append(float(there.mean()) if len(there) else 0.0)
            deviations.append(float(there.std()) if len(there) else 0.0)
        return cls(torch.tensor(means, dtype=torch.float64), torch.tensor(deviations, dtype=torch.float64))

    def __call__(self, columns: Float64Array) -> torch.Tensor:
        """Standardised [num_nodes, num_columns] float32; what is not there is the mean, 0, as is a constant column."""
        spread = self.deviation.numpy()
        scaled = (columns - self.mean.numpy()) / np.where(spread > 1e-9, spread, np.inf)
        return torch.from_numpy(np.nan_to_num(scaled, nan=0.0)).float()


@dataclass(frozen=True)
class StatisticsEncoder:
    """Fitted on the training window of one graph; applied unchanged to nodes and events that come later."""

    user: Scale
    item: Scale

    @classmethod
    def fit(cls, stores: Stores, events: torch.Tensor, *, as_of: int) -> Self:
        """Means and deviations of the nodes with one of the `events` [num_events] (bool), seen from `as_of`."""
        window = _Window.of(stores, events)
        return cls(
            Scale.fit(_user_columns(window, as_of), window.degrees("user") > 0),
            Scale.fit(_item_columns(window, as_of), window.degrees("item") > 0),
        )

    def transform(
        self, stores: Stores, events: torch.Tensor, categories: Sequence[Sequence[str]], *, as_of: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`user.x` [num_users, 7 + 32] and `item.stats` [num_items, 6], float32, of the `events` [num_events] (bool).

        A user's columns: the logarithm of 1 + the count of each of `COUNTED`, the mean rating, the logarithm of
        1 + the days from the newest event to `as_of` (epoch ms), standardised; then the categories of what they took,
        hashed and added up, at length one. An item's: the same counts and recency. `categories` [num_items] are
        those of each item. A node without events has the counts of none, and the mean of what it lacks.
        """
        window = _Window.of(stores, events)
        profile = _profiles(window, hashed(categories, PROFILE_DIM).numpy())
        user = torch.cat([self.user(_user_columns(window, as_of)), profile], dim=1)
        return user, self.item(_item_columns(window, as_of))

    def state(self) -> dict[str, torch.Tensor]:
        """For `torch.save`, and `torch.load` with weights_only."""
        return {
            f"{node}_{name}": getattr(scale, name)
            for node, scale in (("user", self.user), ("item", self.item))
            for name in ("mean", "deviation")
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The same encoder again."""
        return cls(*(Scale(state[f"{node}_mean"], state[f"{node}_deviation"]) for node in ("user", "item")))


def training_end(stores: Stores, *, as_of: int) -> int:
    """Epoch ms at which the training window ends: the first event that is not in it, `as_of` where all are."""
    later = stores[INTERACTS]["edge_time"][~stores[INTERACTS]["train_mask"]]
    return int(later.min()) if later.numel() else as_of


@dataclass(frozen=True)
class _Window:
    """The events that count, as columns, oldest first."""

    nodes: dict[str, IntArray]  # user and item: [n] row of the node
    sizes: dict[str, int]
    kinds: Int8Array  # [n] place in EVENT_TYPES
    times: IntArray  # [n] epoch ms
    ratings: Float64Array  # [n] NaN where none was given

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


def _user_columns(window: _Window, as_of: int) -> Float64Array:
    return np.concatenate(
        [window.log_counts("user"), window.mean_ratings("user"), window.log_days("user", as_of)], axis=1
    )


def _item_columns(window: _Window, as_of: int) -> Float64Array:
    return np.concatenate([window.log_counts("item"), window.log_days("item", as_of)], axis=1)


def _profiles(window: _Window, shelves: Float32Array) -> torch.Tensor:
    """The shelves [num_items, dim] of each user's events added up, at length one [num_users, dim]."""
    users, items = window.nodes["user"], window.nodes["item"]
    # A column at a time: memory for one number an event, and the sums are always made in the same order.
    sums = [np.bincount(users, weights=column[items], minlength=window.sizes["user"]) for column in shelves.T]
    # Of no events the sums are integers.
    return torch.nn.functional.normalize(torch.from_numpy(np.stack(sums, axis=1)).double(), dim=1).float()


def add_statistics(stores: Stores, catalogue: Catalogue, as_of: int) -> dict[str, Any]:
    """Put what the training window says of users and items into the graph; the state of the encoder that did."""
    events, end = stores[INTERACTS]["train_mask"], training_end(stores, as_of=as_of)
    encoder = StatisticsEncoder.fit(stores, events, as_of=end)
    stores["user"]["x"], stores["item"]["stats"] = encoder.transform(stores, events, catalogue.categories, as_of=end)
    return encoder.state()
