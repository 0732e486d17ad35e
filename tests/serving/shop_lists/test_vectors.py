"""A model's vectors: published with its lists, and retired with them."""

import numpy as np
from redis import Redis

from serving import cache
from serving.shop_lists.lists import vectors_key
from serving.shop_lists.reader import ShopLists
from serving.shop_lists.vectors import write_vectors
from tests.serving.toy import KEYS, ToyRanker


class Embedded(ToyRanker):
    """The toy model with vectors; the last one is broken."""

    def item_vectors(self) -> np.ndarray:
        vectors = np.arange(10, dtype=np.float32).reshape(5, 2) * 1e5
        vectors[4, 1] = np.nan
        return vectors


class Without(ToyRanker):
    def item_vectors(self) -> None:
        return None


def test_vectors_of_a_model_that_has_some(redis: Redis) -> None:
    assert write_vectors(redis, Embedded("m1")) == 4
    found = ShopLists(redis).vectors("m1", KEYS.tolist())
    assert list(found) == [11, 12, 13, 14]
    assert found[11].tolist() == [0.0, cache.LARGEST_SCORE]  # within the range of half precision


def test_a_model_without_vectors_has_no_hash(redis: Redis) -> None:
    assert write_vectors(redis, ToyRanker("m1")) == write_vectors(redis, Without("m1")) == 0
    assert not redis.exists(vectors_key("m1"))


def test_they_belong_to_the_model() -> None:
    assert cache.version_of(vectors_key("m1").encode()) == "m1"
