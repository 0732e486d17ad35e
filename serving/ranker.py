"""What publishing and near-line need of a model, and how they get one.

Arrives: a bundle's directory. Leaves: a `Ranker`, in fact a `training.models.bundle.Recommender`.
Next: `serving.publisher` scores everybody with it, `serving.nearline` the shoppers who were touched.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from graphstore.arrays import Float32Array, IntArray
from graphstore.errors import UserError
from graphstore.queries import HistoryRow
from serving import cache

if TYPE_CHECKING:
    from training.data.event_log import Histories


Ranking = tuple[IntArray, Float32Array]
"""Rows [B, k] of the model's item order, best first, −1 as padding; scores [B, k]."""


LATE_MS = 86_400_000
"""How far before the model's time trend counts are read anew: events arrive late."""


class Ranker(Protocol):
    """A model that ranks items for histories."""

    model_version: str
    item_ids: list[str]
    item_keys: IntArray  # [num_items]
    as_of: int  # epoch ms

    def histories(self, per_user: Sequence[Sequence[HistoryRow]]) -> "Histories":
        """Histories by item key, as the model reads them; items that it does not know are left out."""
        ...

    def recommend(self, histories: "Histories", *, as_of: int, k: int) -> Ranking:
        """The best k items of each shopper at a time (epoch ms)."""
        ...

    def similar(self, k: int) -> Ranking:
        """The k closest items of each item."""
        ...

    def refresh_trend(self, hours: IntArray, item_keys: IntArray, counts: IntArray) -> None:
        """Counts by hour (epoch ms // HOUR_MS) that replace the model's own from the earliest hour given on."""
        ...


class UnusableModel(UserError):
    """The bundle cannot be loaded, or is not the model that it should be; the message says why."""


class TrendCounts(Protocol):
    """Where newer trend counts come from; `serving.source.ShopSource` is one."""

    def bucket_counts(self, since_ms: int) -> tuple[IntArray, IntArray, IntArray]:
        """Hours, item keys and counts from a time on."""
        ...


def load_ranker(bundle: Path) -> Ranker:
    """The model in a bundle; raises `UnusableModel`."""
    import torch  # here: who brings another ranker does not pay for it

    from training.models.bundle import BundleError, load_bundle

    # One shopper's list is milliseconds of small products: beside other processes, more threads wait for each other
    # (measured: 24 ms instead of 2).
    torch.set_num_threads(1)
    try:
        return load_bundle(bundle)
    except BundleError as error:
        raise UnusableModel(str(error)) from error


def bring_up_to_date(ranker: Ranker, counts: TrendCounts) -> None:
    """Let the model's trend know what happened since it was trained."""
    ranker.refresh_trend(*counts.bucket_counts(ranker.as_of - LATE_MS))


def rank(ranker: Ranker, per_user: Sequence[Sequence[HistoryRow]], *, as_of: int, k: int) -> list[bytes]:
    """A packed list for each history; nothing in a history may lie at or after `as_of`."""
    rows, scores = ranker.recommend(ranker.histories(per_user), as_of=as_of, k=k)
    return cache.pack_rows(rows, scores, ranker.item_keys, as_of=as_of)
