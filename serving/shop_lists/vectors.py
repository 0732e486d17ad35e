"""Vectors: the item embeddings of a model in Redis, by which a list can be made diverse.

Arrives: a model with `item_vectors`. Leaves: the hash `vectors:{version}`, published and retired with the model's
lists. Next: `serving.shop_lists.reader`.

Half precision is enough to compare items, and takes 2 bytes a dimension: 100,000 items with 64 dimensions are 13 MB.
A model without vectors, for example one of closed-form terms alone, has no hash, and its lists are diverse by category
and brand alone.
"""

import numpy as np
from redis import Redis

from graphstore.arrays import LARGEST_SCORE
from serving.ranker import Ranker
from serving.shop_lists.lists import vectors_key, write_hash


def write_vectors(redis: Redis, ranker: Ranker) -> int:
    """Write the model's vectors and return their number. A vector that is not finite is left out.

    Raises `redis.RedisError`.
    """
    vectors = ranker.item_vectors()
    if vectors is None:
        return 0
    halves = np.clip(vectors, -LARGEST_SCORE, LARGEST_SCORE).astype("<f2")
    finite = np.flatnonzero(np.isfinite(vectors).all(axis=1)).tolist()
    fields = {str(ranker.item_keys[row]): halves[row].tobytes() for row in finite}
    write_hash(redis, vectors_key(ranker.model_version), fields)
    return len(fields)
