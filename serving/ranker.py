"""Ranker: the interface of a model for serving, and the functions that load and call it.

Arrives: a bundle's directory. Leaves: a `Ranker`, at runtime a `training.models.bundle.Recommender`.
Next: `serving.publisher` ranks all users with it, `serving.followed_models` keeps it up to date for near-line lists
and online ranking.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from graphstore.arrays import BoolArray, Float32Array, IntArray, difference, distinct, find_sorted
from graphstore.catalogue import Item
from graphstore.errors import UserError
from graphstore.queries import HistoryRow
from graphstore.tables import HOUR_MS
from serving import cache
from training.models.new_items import NewItems

if TYPE_CHECKING:
    from training.data.event_log import Histories
    from training.models.evidence import Evidence

Ranking = tuple[IntArray, Float32Array]
"""Rows [B, k] of the model's item order, best first, padded with −1, and scores [B, k]."""


LATE_MS = 86_400_000
"""Trend counts are read again from this long before the model's time (ms), because events arrive late."""


class Ranker(Protocol):
    """A model that ranks items for histories."""

    model_version: str
    item_ids: list[str]
    item_keys: IntArray  # [num_items]
    num_trained: int
    """The items in the rows from here on came after the training (`extend`)."""
    as_of: int  # epoch ms

    def histories(self, per_user: Sequence[Sequence[HistoryRow]]) -> "Histories":
        """Convert histories to the model's form. Items that the model does not know are left out."""
        ...

    def recommend(self, histories: "Histories", *, as_of: int, k: int) -> Ranking:
        """Return the best k items for each user at the time `as_of` (epoch ms)."""
        ...

    def similar(self, k: int, *, start: int = 0) -> Ranking:
        """Return the k closest items for each item from row `start` on."""
        ...

    def refresh_trend(self, hours: IntArray, item_keys: IntArray, counts: IntArray) -> None:
        """Replace the model's counts from the earliest given hour on. An hour is epoch ms // HOUR_MS."""
        ...

    def set_available(self, available: BoolArray) -> None:
        """Replace the mask [num_items] of the items that can be bought now. Lists leave out all others."""
        ...

    def extend(self, new: NewItems) -> None:
        """Give items that came after the training a row at the end. An item that has such a row gets it anew.

        Items of the training are left as they are.
        """
        ...

    def item_vectors(self) -> Float32Array | None:
        """Return unit vectors [num_items, dim] whose products are item similarities, or None."""
        ...


class LiveRanker(Ranker, Protocol):
    """A ranker in this process, which also answers single questions and follows the catalogue."""

    available: BoolArray  # [num_items]

    def copy(self) -> Self:
        """Return a ranker whose changes do not change this one."""
        ...

    def rank_one(
        self,
        history: Sequence[HistoryRow],
        *,
        as_of: int,
        k: int,
        mask: BoolArray | None = None,
        rows: IntArray | None = None,
        known: bool | None = None,
    ) -> Ranking:
        """Return the best rows [≤ k] for one history, and their scores (see `Recommender.rank_one`)."""
        ...

    def evidence(
        self, history: Sequence[HistoryRow], rows: IntArray, *, as_of: int, carriers: int = ...
    ) -> list["Evidence"]:
        """Return why the items `rows` stand where they stand for one history (see `training.models.evidence`)."""
        ...


class UnusableModel(UserError):
    """The bundle cannot be loaded, or it contains another model. The message contains the reason."""


class ShopNow(Protocol):
    """The source of what changed since the training. `serving.source.ShopSource` implements it."""

    def bucket_counts(self, since_ms: int) -> tuple[IntArray, IntArray, IntArray]:
        """Return hours, item keys and counts since `since_ms` (epoch ms)."""
        ...

    def stock(self) -> tuple[IntArray, BoolArray]:
        """Return the keys of all items, ascending, and whether each can be bought now."""
        ...

    def items_by_key(self, item_keys: Sequence[int]) -> list[Item]:
        """Return the items that exist, by key."""
        ...

    def neighbourhood(self, item_keys: Sequence[int], since_ms: int) -> list[list[HistoryRow]]:
        """Return the histories of the newest shoppers who touched one of the items since `since_ms` (epoch ms)."""
        ...


def load_ranker(bundle: Path) -> LiveRanker:
    """Load the model from a bundle. Raises `UnusableModel`."""
    import torch  # imported here, because callers with another ranker do not need torch

    from training.models.bundle import BundleError, load_bundle

    # One user's list takes milliseconds and consists of small matrix products. Next to other processes, several threads
    # wait for each other (measured: 24 ms instead of 2 ms).
    torch.set_num_threads(1)
    try:
        return load_bundle(bundle)
    except BundleError as error:
        raise UnusableModel(str(error)) from error


@dataclass(frozen=True)
class SinceTraining:
    """What came after a model's training."""

    item_keys: IntArray
    """Of all items [num_items], ascending."""
    for_sale: BoolArray
    """Whether each of them can be bought now [num_items]."""
    counts: tuple[IntArray, IntArray, IntArray]
    """Hours, item keys and counts of the trend."""
    new: NewItems | None
    """The items that the training did not see."""

    @classmethod
    def read(cls, ranker: Ranker, shop: ShopNow) -> Self:
        """Read what is new to a model."""
        item_keys, for_sale = shop.stock()
        counts = shop.bucket_counts(ranker.as_of - LATE_MS)
        late = difference(item_keys, ranker.item_keys[: ranker.num_trained])
        new = new_items(shop, shop.items_by_key(late.tolist()), counts) if len(late) else None
        return cls(item_keys, for_sale, counts, new)

    def tell(self, ranker: Ranker) -> None:
        """Bring a model up to date. New items that it has already get their present features and neighbourhood."""
        if self.new is not None:
            ranker.extend(self.new)
        ranker.set_available(availability(ranker.item_keys, self.item_keys, self.for_sale))
        ranker.refresh_trend(*self.counts)


def bring_up_to_date(ranker: Ranker, shop: ShopNow) -> None:
    """Tell the model what came after its training: new items, what can be bought now, and the counts of the trend."""
    SinceTraining.read(ranker, shop).tell(ranker)


def new_items(shop: ShopNow, items: Sequence[Item], counts: tuple[IntArray, IntArray, IntArray]) -> NewItems:
    """Return the items with their neighbourhood. `counts` (hours, item keys, counts) tell when it began."""
    keys = np.array([item.item_key for item in items], dtype=np.int64)
    hours, counted, _ = counts
    touched = np.isin(counted, keys)
    if not touched.any():
        return NewItems(items)
    histories = shop.neighbourhood(distinct(counted[touched]).tolist(), int(hours[touched].min()) * HOUR_MS)
    around = np.array([row[0] for history in histories for row in history], dtype=np.int64)
    return NewItems(items, histories, shop.items_by_key(difference(around, keys).tolist()))


def availability(model_keys: IntArray, item_keys: IntArray, for_sale: BoolArray) -> BoolArray:
    """Return the mask of a model's items from that of all items. `item_keys` ascend; an item that is gone is False."""
    indices, found = find_sorted(model_keys, item_keys)
    available = np.zeros(len(model_keys), dtype=np.bool_)
    available[found] = for_sale[indices[found]]
    return available


def rank(ranker: Ranker, per_user: Sequence[Sequence[HistoryRow]], *, as_of: int, k: int) -> list[bytes]:
    """Return a packed list for each history. All events must be before `as_of` (epoch ms)."""
    rows, scores = ranker.recommend(ranker.histories(per_user), as_of=as_of, k=k)
    return cache.pack_rows(rows, scores, ranker.item_keys, as_of=as_of)
