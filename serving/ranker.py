"""Ranker: the interface of a model for serving, and the functions that load and call it.

Arrives: a bundle's directory. Leaves: a `Ranker`, at runtime a `training.models.bundle.Recommender`.
Next: `serving.publisher` ranks all users with it, `serving.nearline` ranks touched users.
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
"""Rows [B, k] of the model's item order, best first, padded with −1, and scores [B, k]."""


LATE_MS = 86_400_000
"""Trend counts are read again from this long before the model's time (ms), because events arrive late."""


class Ranker(Protocol):
    """A model that ranks items for histories."""

    model_version: str
    item_ids: list[str]
    item_keys: IntArray  # [num_items]
    as_of: int  # epoch ms

    def histories(self, per_user: Sequence[Sequence[HistoryRow]]) -> "Histories":
        """Convert histories to the model's form. Items that the model does not know are left out."""
        ...

    def recommend(self, histories: "Histories", *, as_of: int, k: int) -> Ranking:
        """Return the best k items for each user at the time `as_of` (epoch ms)."""
        ...

    def similar(self, k: int) -> Ranking:
        """Return the k closest items for each item."""
        ...

    def refresh_trend(self, hours: IntArray, item_keys: IntArray, counts: IntArray) -> None:
        """Replace the model's counts from the earliest given hour on. An hour is epoch ms // HOUR_MS."""
        ...


class UnusableModel(UserError):
    """The bundle cannot be loaded, or it contains another model. The message contains the reason."""


class TrendCounts(Protocol):
    """The source of newer trend counts. `serving.source.ShopSource` implements it."""

    def bucket_counts(self, since_ms: int) -> tuple[IntArray, IntArray, IntArray]:
        """Return hours, item keys and counts since `since_ms` (epoch ms)."""
        ...


def load_ranker(bundle: Path) -> Ranker:
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


def bring_up_to_date(ranker: Ranker, counts: TrendCounts) -> None:
    """Add the events since the training to the model's trend."""
    ranker.refresh_trend(*counts.bucket_counts(ranker.as_of - LATE_MS))


def rank(ranker: Ranker, per_user: Sequence[Sequence[HistoryRow]], *, as_of: int, k: int) -> list[bytes]:
    """Return a packed list for each history. All events must be before `as_of` (epoch ms)."""
    rows, scores = ranker.recommend(ranker.histories(per_user), as_of=as_of, k=k)
    return cache.pack_rows(rows, scores, ranker.item_keys, as_of=as_of)
