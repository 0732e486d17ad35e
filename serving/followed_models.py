"""Followed models: the models that serve, in this process, kept up to date while they serve.

Arrives: pointer and routing (`recs:champion`, `recs:routing`), bundles, the newest counts, and what changes in the
catalogue. Leaves: `models`, the champion first. Next: `serving.nearline` writes lists with them, the online ranker
answers requests.

A model in `models` never changes: a newer copy takes its place, and shares all that is equal. So a thread that ranks
needs no lock; it takes the value of `models` once. `follow` and `freshen` belong to one thread.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from redis import Redis

from graphstore.arrays import BoolArray, difference
from graphstore.catalogue import Item
from graphstore.errors import UserError
from serving import cache
from serving.catalogue_feed import CatalogueFeed
from serving.ranker import LATE_MS, LiveRanker, UnusableModel, availability, bring_up_to_date, load_ranker, new_items
from serving.source import ShopSource
from stream.liveness import Liveness

logger = logging.getLogger(__name__)

LOAD_SECONDS = 600.0
"""The load of a model may take this time before the process counts as hung."""


def _ready(_version: str, _model: LiveRanker) -> None:
    """Do nothing before a model serves."""


def _ignore(_items: Sequence[Item]) -> None:
    """Keep nothing of changed items."""


class FollowedModels:
    """The loaded models of pointer and routing."""

    def __init__(
        self,
        source: ShopSource,
        redis: Redis,
        *,
        trend_seconds: float,
        load: Callable[[Path], LiveRanker] = load_ranker,
        ready: Callable[[str, LiveRanker], None] = _ready,
        liveness: Liveness | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ready(version, model)` is called with a loaded model before it serves; when it raises, the model does not.

        `trend_seconds` is the time between two reads of the counts. `clock` is in seconds.
        """
        self._source = source
        self._redis = redis
        self._trend_seconds = trend_seconds
        self._load = load
        self._ready = ready
        self._liveness = liveness or Liveness()
        self._clock = clock
        self._feed = CatalogueFeed(source, redis, clock=clock)
        self._next_trend = clock() + trend_seconds
        self.models: Mapping[str, LiveRanker] = {}
        """The loaded models by version, the champion first."""
        self.on_changed: Callable[[Sequence[Item]], object] = _ignore
        """Called with the items that came or changed, for whoever keeps more of them than the stock."""
        self._unusable: set[str] = set()
        self._told: BoolArray | None = None
        """The stock that all models know."""

    @property
    def champion(self) -> LiveRanker | None:
        """The model of the pointer, None before the first."""
        return next(iter(self.models.values()), None)

    def follow(self) -> list[str]:
        """Load the models in pointer and routing, and forget others. Return the versions that were loaded.

        A model beside the champion that cannot be loaded is logged once and left out while the routing names it.
        Raises the errors of SQL and Redis, and those of the champion's load.
        """
        served = cache.served(self._redis)
        if served is None:
            return []
        self._unusable &= {*served.versions}
        self._keep(served.versions)
        loaded = []
        for version in served.versions:
            if version in self.models or version in self._unusable:
                continue
            try:
                self._take(version)
            except (UserError, ValueError, ArithmeticError):
                if version == served.champion:
                    raise
                logger.exception("model %s is left out: its shoppers keep the lists that are there", version)
                self._unusable.add(version)
            else:
                logger.info("following %s", version)
                loaded.append(version)
        self._keep(served.versions)
        return loaded

    def freshen(self) -> list[str]:
        """Do what is due: the stock and the new items within a second, the trend after `trend_seconds`.

        Returns the versions that changed. Raises the errors of SQL and Redis; what is due stays due.
        """
        changed = self.refresh_items()
        if self._clock() >= self._next_trend:
            changed = self.refresh_trend()
        return changed

    def refresh_items(self) -> list[str]:
        """Tell the models which items came and which can be bought now, if a look is due. Return who changed."""
        items = self._feed.look()
        if items is None:
            return []
        self.on_changed(items)
        told = self._feed.for_sale  # a new array with each change
        if not items and told is self._told:
            return []
        models = dict(self.models)
        for version, model in self.models.items():
            fresh = self._with_items(model, items)
            if fresh is not None:
                models[version] = fresh
        changed = [version for version, model in models.items() if model is not self.models[version]]
        self.models = models
        self._told = told
        return changed

    def refresh_trend(self) -> list[str]:
        """Read the newest counts, and the neighbourhood of new items. Return all versions."""
        models = {}
        for version, model in self.models.items():
            fresh = model.copy()
            bring_up_to_date(fresh, self._source)
            models[version] = fresh
        self.models = models
        self._next_trend = self._clock() + self._trend_seconds
        return list(models)

    def _with_items(self, model: LiveRanker, items: Sequence[Item]) -> LiveRanker | None:
        """Return a copy that knows the items and the stock, or None when nothing is new to the model."""
        trained = model.item_keys[: model.num_trained]
        late = {item.item_key: item for item in items}
        for key in set(late).intersection(trained.tolist()):
            del late[key]
        missing = [key for key in difference(self._feed.keys, model.item_keys).tolist() if key not in late]
        if missing:
            late |= {item.item_key: item for item in self._source.items_by_key(missing)}
        if not late and np.array_equal(self._available(model), model.available):
            return None
        fresh = model.copy()
        if late:
            counts = self._source.bucket_counts(model.as_of - LATE_MS)
            fresh.extend(new_items(self._source, list(late.values()), counts))
            fresh.refresh_trend(*counts)
        fresh.set_available(self._available(fresh))
        return fresh

    def _available(self, model: LiveRanker) -> BoolArray:
        return availability(model.item_keys, self._feed.keys, self._feed.for_sale)

    def _take(self, version: str) -> None:
        bundle = self._source.bundle(version)
        if bundle is None:
            raise UnusableModel(f"the registry does not know {version}, which is served")
        self._liveness.beat("loading a model", within_seconds=LOAD_SECONDS)
        model = self._load(bundle)
        bring_up_to_date(model, self._source)
        self._ready(version, model)
        # Last, because otherwise the next call would skip this work after an error.
        self.models = {**self.models, version: model}

    def _keep(self, versions: Sequence[str]) -> None:
        self.models = {version: self.models[version] for version in versions if version in self.models}
