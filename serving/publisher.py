"""The publisher: a champion's lists, written whole, then switched on.

Arrives: the registry's champion (announced on `models`, and looked up every few seconds, so that a lost announcement
only delays). Leaves: `recs:{version}:*`, `similar:{version}:*`, the popular list, item titles, and last the pointer
`recs:champion`. Next: `serving.recommend` reads them, `serving.nearline` follows the pointer.

Every write is idempotent. Killed anywhere before the switch, the old model stays whole and the next start writes the
new one from the beginning; killed after it, the next publication retires whatever versions are left.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from prometheus_client import Gauge
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from graphstore.catalogue import Item
from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError, reason
from graphstore.queries import HistoryRow
from graphstore.redis import hot
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms, open_engine
from serving import cache
from serving.config import ServingConfig
from serving.forget import drop_lists_of_erased
from serving.ranker import Ranker, UnusableModel, bring_up_to_date, load_ranker, rank
from serving.source import ShopSource
from stream.config import StreamConfig
from stream.events import MODELS
from stream.kafka.subscription import Subscription
from stream.probe import OK, start_probe

logger = logging.getLogger(__name__)

GROUP = "publisher"
POLL_SECONDS = 0.5
SCAN_COUNT = 1000
RECONCILE_SECONDS = 15.0
"""How often the registry is looked at, for an announcement that was lost; one that comes is followed at once."""
BLOCK_USERS = 1024
"""Shoppers scored and written at a time: it bounds memory, and how long a stop waits."""
RETIRED_TTL_SECONDS = 600
"""How long a replaced model's lists stay, for readers that hold the old pointer and for a rollback."""
TROUBLE = (SQLAlchemyError, RedisError, OSError, UserError, ValueError, ArithmeticError)
"""What a later try may find mended; until then readers keep the old model."""

_seconds = Gauge("sagestream_publication_seconds", "How long the last publication took")
_published_at = Gauge("sagestream_publication_as_of_seconds", "Time of the published lists, epoch seconds")


class Shop(Protocol):
    """What a publication reads; `serving.source.ShopSource` is one."""

    def users(self) -> list[tuple[int, str]]:
        """(user_key, user_id)."""
        ...

    def items(self) -> list[Item]:
        """Every item."""
        ...

    def histories(self, user_keys: Sequence[int]) -> list[list[HistoryRow]]:
        """In the order asked."""
        ...

    def erased(self, user_ids: Sequence[str] | None = None) -> set[str]:
        """Those of the users who were forgotten; None: everybody who was."""
        ...


class PublishingInterrupted(Exception):
    """A publication was asked to stop; the pointer was not switched."""


@dataclass(frozen=True)
class Publication:
    """What was published."""

    model_version: str
    as_of: int
    users: int
    items: int
    retired_keys: int


@dataclass(frozen=True)
class ListLimits:
    """How long the lists are, and how long those of other models live."""

    k: int
    """Items of a shopper's list."""
    similar_k: int
    """Items of a list of similar items."""
    block_users: int = BLOCK_USERS
    """Shoppers scored and written at a time: bounds the memory."""
    retired_ttl_seconds: int = RETIRED_TTL_SECONDS
    """After a switch the lists of the other models live so long."""


def publish(
    ranker: Ranker,
    shop: Shop,
    redis: Redis,
    limits: ListLimits,
    *,
    as_of: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Publication:
    """Write all lists of a model as of a time (epoch ms), switch the pointer to it, let the other models' lists expire.

    `progress(done, total)` is called after each block of shoppers and may raise to stop: nothing is switched then.
    Raises `ValueError` for a version that cannot stand in a key, `redis.RedisError`, and what `shop` raises.
    """
    version = cache.check_version(ranker.model_version)
    k, block_users = limits.k, limits.block_users
    users = shop.users()
    for start in range(0, len(users), block_users):
        block = users[start : start + block_users]
        # What happens from `as_of` on belongs to near-line: its lists are newer.
        past = [[row for row in rows if row[1] < as_of] for rows in shop.histories([key for key, _ in block])]
        packed = rank(ranker, past, as_of=as_of, k=k)
        cache.write_lists(
            redis, {cache.recs_key(version, name): raw for (_, name), raw in zip(block, packed, strict=True)}
        )
        progress(start + len(block), len(users))
    similar = cache.pack_rows(*ranker.similar(limits.similar_k), ranker.item_keys, as_of=as_of)
    names = [cache.similar_key(version, item_id) for item_id in ranker.item_ids]
    cache.write_lists(redis, dict(zip(names, similar, strict=True)))
    cache.write_lists(redis, {cache.popular_key(version): rank(ranker, [[]], as_of=as_of, k=k)[0]})
    items = shop.items()
    for start in range(0, len(items), block_users):
        hot.set_items(redis, items[start : start + block_users])
    # Everybody, not only those who were read: an earlier try may have been killed before it came here.
    drop_lists_of_erased(redis, shop, version)
    progress(len(users), len(users))  # the last chance to stop
    redis.set(cache.CHAMPION, version)
    retired = retire(redis, keep=version, ttl_seconds=limits.retired_ttl_seconds)
    return Publication(version, as_of, users=len(users), items=len(items), retired_keys=retired)


def retire(redis: Redis, *, keep: str, ttl_seconds: int) -> int:
    """Let every list of every other model expire; how many there are.

    Not at once: a reader may hold the old pointer for a moment, and a rollback finds them. EXPIRE … LT never puts an
    end off, so that calling this again does not keep an old model alive.
    """
    retired = 0
    cursor = 0
    while True:
        cursor, keys = cast("tuple[int, list[bytes]]", redis.scan(cursor, count=SCAN_COUNT))
        old = [key for key in keys if cache.version_of(key) not in (None, keep)]
        if old:
            pipeline = redis.pipeline(transaction=False)
            for key in old:
                pipeline.expire(key, ttl_seconds, lt=True)
            pipeline.execute()
            retired += len(old)
        if cursor == 0:
            return retired


class Publisher:
    """Keeps Redis at the registry's champion."""

    def __init__(
        self,
        source: ShopSource,
        redis: Redis,
        config: ServingConfig,
        *,
        load: Callable[[Path], Ranker] = load_ranker,
        stop: threading.Event | None = None,
    ) -> None:
        self._source = source
        self._redis = redis
        self._config = config
        self._load = load
        self._stop = stop or threading.Event()

    def reconcile(self, *, now: Callable[[], int] = now_ms) -> Publication | None:
        """Publish the champion where it is not what readers see; None where nothing was to do.

        Raises `PublishingInterrupted` when asked to stop meanwhile, `UnusableModel`, and what `publish` raises.
        """
        wanted = self._source.champion()
        if wanted is None or self._is_published(wanted[0]):
            return None
        started = time.monotonic()
        ranker = self._load(wanted[1])
        if ranker.model_version != wanted[0]:
            raise UnusableModel(f"the bundle of {wanted[0]} says that it is {ranker.model_version}")
        bring_up_to_date(ranker, self._source)
        done = publish(
            ranker,
            self._source,
            self._redis,
            ListLimits(k=self._config.list_length, similar_k=self._config.similar_length),
            as_of=now(),
            progress=self._progress,
        )
        seconds = time.monotonic() - started
        _seconds.set(seconds)
        _published_at.set(done.as_of / 1000)
        logger.info(
            "published %s: %d shoppers, %d items in %.1f s", *(done.model_version, done.users, done.items), seconds
        )
        return done

    def _is_published(self, version: str) -> bool:
        """Whether readers see the version, in a format that they can read."""
        if cache.champion(self._redis) != version:
            return False
        raw = cache.read_bytes(self._redis, [cache.popular_key(version)])[0]
        try:
            return raw is not None and cache.unpack(raw) is not None
        except cache.MalformedList as error:
            logger.warning("the lists of %s are published again: %s", version, error)
            return False

    def _progress(self, done: int, total: int) -> None:
        if self._stop.is_set():
            raise PublishingInterrupted(f"stopped at {done} of {total} shoppers")


def run_publisher(
    config: ServingConfig,
    graphstore: GraphstoreConfig,
    stream: StreamConfig,
    stop: threading.Event,
    *,
    load: Callable[[Path], Ranker] = load_ranker,
    reconcile_seconds: float = RECONCILE_SECONDS,
) -> None:
    """Follow the registry until `stop`. Trouble with SQL, Redis, Kafka or a bundle is logged and tried again."""
    engine = open_engine(graphstore.sqlalchemy_url)
    redis = open_redis(graphstore.redis_url)
    publisher = Publisher(ShopSource(engine), redis, config, load=load, stop=stop)
    subscription = Subscription(stream, MODELS, group=GROUP, max_records=100, stop=stop)
    needs = {"published": "nothing yet"}
    probe = start_probe(stream.probe_port_of("publisher"), lambda: {**needs, "kafka": subscription.state})
    logger.info("publisher: health on port %d, following the registry and %s", probe.port, MODELS)
    next_look = 0.0
    try:
        while not stop.is_set():
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + reconcile_seconds
                try:
                    publisher.reconcile()
                    needs["published"] = OK if cache.champion(redis) else "the registry has no champion yet"
                except TROUBLE as error:
                    logger.exception("the champion could not be published, trying again")
                    needs["published"] = reason(error)
            if subscription.poll(POLL_SECONDS):
                next_look = 0.0
    except PublishingInterrupted as interrupted:
        logger.warning("publication given up, readers keep the old model: %s", interrupted)
    finally:
        probe.close()
        subscription.close()
        redis.close()
        engine.dispose()
