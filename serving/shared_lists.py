"""Shared lists: a model's lists that belong to no shopper, written between two publications.

Arrives: a model that has changed (`serving.followed_models`). Leaves: its list for strangers, and the items similar to
each new item. Next: `serving.nearline` calls it, `serving.publisher` writes the same keys with the next publication.
"""

from redis import Redis

from serving import cache
from serving.config import ServingConfig
from serving.ranker import Ranker, rank

NEW_ITEMS = 1_000
"""The number of newest items that get a list of similar items. It bounds the time of a load."""


class SharedLists:
    """Writes the lists of each model. An error leaves what is not written for the next call."""

    def __init__(self, redis: Redis, config: ServingConfig) -> None:
        self._redis = redis
        self._config = config
        self._similar_until: dict[str, int] = {}
        """By version: the row up to which new items have their list of similar items."""

    def write(self, ranker: Ranker, *, now: int) -> None:
        """Write the list for strangers anew, and the missing lists of new items. `now` is epoch ms."""
        packed = rank(ranker, [[]], as_of=now, k=self._config.list_length)[0]
        cache.write_lists(self._redis, {cache.popular_key(ranker.model_version): packed})
        self._write_similar(ranker, now=now)

    def forget(self, version: str) -> None:
        """Write all lists of the model again with its next change: its keys may be gone."""
        self._similar_until.pop(version, None)

    def _write_similar(self, ranker: Ranker, *, now: int) -> None:
        version, num_items = ranker.model_version, len(ranker.item_ids)
        start = max(self._similar_until.get(version, ranker.num_trained), num_items - NEW_ITEMS)
        if start < num_items:
            packed = cache.pack_rows(
                *ranker.similar(self._config.similar_length, start=start), ranker.item_keys, as_of=now
            )
            names = [cache.similar_key(version, item_id) for item_id in ranker.item_ids[start:]]
            cache.write_lists(self._redis, dict(zip(names, packed, strict=True)))
        self._similar_until[version] = num_items
