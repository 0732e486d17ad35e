"""Ranker process: a `Ranker` in a process of its own, for as long as one publication takes.

Arrives: a bundle's directory. Leaves: a `Ranker` that any process can use without PyTorch. Next: `serving.publisher`
ranks all users with it. A process that has loaded PyTorch and a model keeps some 250 MB until it ends, and a publisher
works for seconds in a day.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from graphstore.arrays import BoolArray, Float32Array, IntArray
from graphstore.progress import Progress
from graphstore.queries import HistoryRow
from serving.ranker import Ranker, Ranking, load_ranker
from training.models.new_items import NewItems
from training.process import SpawnedProcess

if TYPE_CHECKING:
    from training.data.event_log import Histories


@dataclass(frozen=True)
class _About:
    """What a ranker is, beside what it does."""

    model_version: str
    item_ids: list[str]
    item_keys: IntArray
    num_trained: int
    as_of: int


class RankerProcess:
    """A `Ranker` whose model is in the process. Its methods raise the errors of `SpawnedProcess.call`."""

    def __init__(self, process: SpawnedProcess, bundle: Path) -> None:
        about: _About = process.call(_load, bundle)
        self.model_version = about.model_version
        self.item_ids = about.item_ids
        self.item_keys = about.item_keys
        self.num_trained = about.num_trained
        self.as_of = about.as_of
        self._process = process

    def histories(self, per_user: Sequence[Sequence[HistoryRow]]) -> "Histories":
        """Return the histories as they are: the process converts them to the model's form."""
        return cast("Histories", per_user)

    def recommend(self, histories: "Histories", *, as_of: int, k: int) -> Ranking:
        """Return the best k items for each user at the time `as_of` (epoch ms)."""
        ranking: Ranking = self._process.call(_recommend, histories, as_of, k)
        return ranking

    def similar(self, k: int, *, start: int = 0) -> Ranking:
        """Return the k closest items for each item from row `start` on."""
        ranking: Ranking = self._process.call(_similar, k, start)
        return ranking

    def refresh_trend(self, hours: IntArray, item_keys: IntArray, counts: IntArray) -> None:
        """Replace the model's counts from the earliest given hour on."""
        self._process.call(_refresh_trend, hours, item_keys, counts)

    def set_available(self, available: BoolArray) -> None:
        """Replace the mask of the items that can be bought now."""
        self._process.call(_set_available, available)

    def extend(self, new: NewItems) -> None:
        """Give items that came after the training a row at the end."""
        about: _About = self._process.call(_extend, new)
        self.item_ids, self.item_keys = about.item_ids, about.item_keys

    def item_vectors(self) -> Float32Array | None:
        """Return unit vectors [num_items, dim] whose products are item similarities, or None."""
        vectors: Float32Array | None = self._process.call(_item_vectors)
        return vectors


@contextmanager
def ranker_process(bundle: Path) -> Iterator[Ranker]:
    """Load the model in a process that ends with the block. Raises `training.process.SpawnedProcessFailed`."""
    with SpawnedProcess() as process:
        yield RankerProcess(process, bundle)


_loaded: list[Ranker] = []
"""In the process: its ranker."""


def _load(bundle: Path, _progress: Progress) -> _About:
    ranker = load_ranker(bundle)
    _loaded.append(ranker)
    return _about(ranker)


def _about(ranker: Ranker) -> _About:
    return _About(ranker.model_version, ranker.item_ids, ranker.item_keys, ranker.num_trained, ranker.as_of)


def _recommend(per_user: Sequence[Sequence[HistoryRow]], as_of: int, k: int, _progress: Progress) -> Ranking:
    (ranker,) = _loaded
    return ranker.recommend(ranker.histories(per_user), as_of=as_of, k=k)


def _similar(k: int, start: int, _progress: Progress) -> Ranking:
    (ranker,) = _loaded
    return ranker.similar(k, start=start)


def _refresh_trend(hours: IntArray, item_keys: IntArray, counts: IntArray, _progress: Progress) -> None:
    (ranker,) = _loaded
    ranker.refresh_trend(hours, item_keys, counts)


def _set_available(available: BoolArray, _progress: Progress) -> None:
    (ranker,) = _loaded
    ranker.set_available(available)


def _extend(new: NewItems, _progress: Progress) -> _About:
    (ranker,) = _loaded
    ranker.extend(new)
    return _about(ranker)


def _item_vectors(_progress: Progress) -> Float32Array | None:
    (ranker,) = _loaded
    return ranker.item_vectors()
