"""Bare: the least that any web application must do for a list, as the measure of ours.

Arrives: `GET /recommendations/<user_id>/`. Leaves: the same 20 items as our answer, encoded with orjson. Next:
`benchmarks.serving` runs it under the same server (uvicorn, `serving.web.gateway`), with the same client of Redis.

It reads the user's two lists with one MGET, takes the newer one, and looks the items up in a dictionary that it has
filled at its start. It checks nothing, logs nothing and knows one model.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import orjson

from benchmarks.lists import MODEL
from graphstore.redis import item_store
from graphstore.redis.connection import open_redis
from serving.cache import near_key, read_bytes, recs_key, unpack
from serving.config import ServingConfig
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from stream.worker.gc_tuning import collect_seldom

ITEMS = 20
PATH = "/recommendations/"
ITEM_FIELDS = ("item_id", "title", "categories", "brand", "price")

_redis = open_redis(os.environ["SAGESTREAM_REDIS_URL"])
_keys = [int(key) for key in _redis.hkeys(item_store.ITEM_IDS)]  # type: ignore[union-attr]
_items = {
    item.item_key: {name: getattr(item, name) for name in ITEM_FIELDS}
    for item in item_store.get_items_by_key(_redis, _keys)
    if item is not None
}


def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the newer of the user's two lists."""
    user_id = environ["PATH_INFO"][len(PATH) : -1]
    found = read_bytes(_redis, [recs_key(MODEL, user_id), near_key(MODEL, user_id)])
    packed = max((unpack(raw) for raw in found if raw is not None), key=lambda one: one.as_of)
    keys, scores = packed.item_keys[:ITEMS].tolist(), packed.scores[:ITEMS].astype(np.float64).tolist()
    body = orjson.dumps(
        {
            "user_id": user_id,
            "as_of": packed.as_of,
            "items": [
                {**_items[key], "position": position, "score": score}
                for position, (key, score) in enumerate(zip(keys, scores, strict=True))
            ],
        }
    )
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


application = Gateway(
    answer,
    threads=ServingConfig().serve_threads,
    rate=TokenBuckets(ServingConfig().requests_per_second),
)

collect_seldom()
