"""Vectors: the item embeddings of a model in Redis, by which a list can be made diverse.

Arrives: a model with `item_vectors`. Leaves: the hash `vectors:{version}`, published and retired with the model's
lists. Next: `serving.shop_lists.reader`.

Half precision is enough to compare items, and takes 2 bytes a dimension: 100,000 items with 64 dimensions are 13 MB.
A model without vectors, for example one of closed-form terms alone, has no hash, and its lists are diverse by category
and brand alone.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from redis import Redis

from graphstore.arrays import LARGEST_SCORE, Float32Array, IntArray
from serving.shop_lists.lists import vectors_key, write_hash


@runtime_checkable
class WithVectors(Protocol):
    """A model that has embeddings of its items."""

    model_version: str
    item_keys: IntArray  # [num_items]

    def item_vectors(self) -> Float32Array | None:
        """Return the embeddings [num_items, dim]; None for a model without them."""
        ...


def write_vectors(redis: Redis, ranker: object) -> int:
    """Write the model's vectors and return their number. A vector that is not finite is left out.

    Raises `redis.RedisError`.
    """
    vectors = ranker.item_vectors() if isinstance(ranker, WithVectors) else None
    if vectors is None or not isinstance(ranker, WithVectors):
        return 0
    halves = np.clip(vectors, -LARGEST_SCORE, LARGEST_SCORE).astype("<f2")
    finite = np.flatnonzero(np.isfinite(vectors).all(axis=1)).tolist()
    fields = {str(ranker.item_keys[row]): halves[row].tobytes() for row in finite}
    write_hash(redis, vectors_key(ranker.model_version), fields)
    return len(fields)
