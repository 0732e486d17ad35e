"""Switch: makes readers follow the registry, as soon as the lists of its champion are in Redis.

Arrives: what the registry wants (`serving.routing_source`). Leaves: the pointer `recs:champion` and the routing
`recs:routing`, written together. Next: `serving.recommend` reads both.

`recs:whole` names the models whose lists are complete, with the time of their end (epoch ms; infinite for lists that
stay and are kept fresh). So a rollback needs no new lists while the old ones live: whoever changes the registry calls
`follow`, and the publisher does the rest later.

Two writers may switch at the same time, for example a publisher at the end of a long publication, and a rollback. Each
reads the registry after it began to watch the keys, so none can undo the other's write with an older answer.
"""

from collections.abc import Callable
from math import inf
from typing import cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError
from sqlalchemy import Engine

from serving import cache
from serving.routing import ROUTING, encode
from serving.routing_source import Wanted
from serving.source import ShopSource

MARGIN_MS = 60_000
"""Lists that end sooner than this are not served any more. The publisher writes them again in this time."""


def whole(redis: Redis) -> dict[str, float]:
    """Return the models with complete lists, and the time of their end (epoch ms, or infinite)."""
    rows = cast("list[tuple[bytes, float]]", redis.zrange(cache.WHOLE, 0, -1, withscores=True))
    return {version.decode(errors="replace"): end for version, end in rows}


def follow(engine: Engine, redis: Redis, *, now: int) -> Wanted | None:
    """Let readers follow a change of the registry at once. Return None when the publisher has to write lists first.

    `now` is epoch ms. Raises the errors of `switch`.
    """
    source = ShopSource(engine)
    return switch(redis, lambda: source.wanted(now=now), now=now)


def switch(
    redis: Redis, registry: Callable[[], Wanted | None], *, now: int, written: str | None = None
) -> Wanted | None:
    """Let readers follow the registry, and return what it wants. Return None when its champion has no complete lists.

    Splits with a model whose lists are not complete are left out until they are.

    Args:
        redis: Holds the lists.
        registry: Reads what shall be served, without a cache.
        now: The time (epoch ms).
        written: A model whose lists the caller has just written completely.

    Raises:
        redis.RedisError: Redis failed. Errors of `registry` are raised, too.
    """
    with redis.pipeline() as pipeline:
        while True:
            try:
                pipeline.watch(cache.CHAMPION, ROUTING, cache.WHOLE)  # type: ignore[no-untyped-call]
                return _switch(pipeline, registry, now=now, written=written)
            except WatchError:
                continue  # somebody else has switched: look again


def _switch(
    pipeline: Pipeline, registry: Callable[[], Wanted | None], *, now: int, written: str | None
) -> Wanted | None:
    ends = whole(pipeline)  # while a pipeline watches, its commands run at once
    before = cache.served(pipeline)
    wanted = registry()
    if written is not None:
        ends[written] = inf
    ready = wanted is not None and ends.get(wanted.champion, 0) > now + MARGIN_MS
    pipeline.multi()
    if written is not None:
        pipeline.zadd(cache.WHOLE, {written: inf})
    if ready and wanted is not None:
        routing = wanted.routing.among({version for version, end in ends.items() if end == inf})
        if before != cache.Served(wanted.champion, routing):
            pipeline.set(cache.CHAMPION, wanted.champion)
            pipeline.set(ROUTING, encode(routing))
    pipeline.execute()
    return wanted if ready else None
