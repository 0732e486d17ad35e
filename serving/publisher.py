"""The publisher: writes all lists of the champion and of other models that shoppers get, then switches to them.

Arrives: what the registry wants, announced on `models`: the champion, and the models of a probation and of running
experiments (`serving.routing_source`). The publisher also polls the registry every few seconds, so a lost announcement
only causes a delay. Leaves: the lists of a model (`serving.publication`), and at the end pointer and routing
(`serving.switch`). Next: `serving.recommend` reads the lists, `serving.nearline` follows pointer and routing. A thread
beside it keeps the lists of the whole shop fresh (`serving.shop_lists`).

The model makes the lists in a process of its own (`serving.ranker_process`). Where a setting names a Ray, its workers
make those of the shoppers (`serving.ray_process`).

Every write is idempotent. When the publisher is killed before the switch, the old model stays complete, and the next
start writes all lists of the new model again. When it is killed after the switch, the next look lets the remaining
versions expire.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from math import inf
from pathlib import Path
from typing import cast

from prometheus_client import Gauge
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError, reason
from graphstore.outages import is_full, service_of
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms, open_engine
from serving import cache
from serving.config import ServingConfig
from serving.publication import ListLimits, MakeLists, Publication, publish
from serving.ranker import Ranker, SinceTraining, UnusableModel, load_ranker
from serving.ranker_process import ranker_process
from serving.ray_lists import ListsJob
from serving.ray_process import RayEngine
from serving.routing_source import Wanted
from serving.shop_lists.refresh import ShopListsRefresh, ShopListsWriter
from serving.source import ShopSource
from serving.switch import switch, whole
from stream.config import StreamConfig
from stream.events import MODELS
from stream.kafka.subscription import Subscription
from stream.liveness import Liveness, Watchdog
from stream.probe import FIRST_MODEL, OK, start_probe
from training.cluster.shared_files import SharedFiles
from training.process import FaultInProcess

logger = logging.getLogger(__name__)

GROUP = "publisher"
POLL_SECONDS = 0.5
LOAD_SECONDS = 600.0
"""The load of a model may take this time before the process counts as hung. Each block of users is progress."""
RETRY_SECONDS = 2.0
"""The interval between tries while a service is away."""
FULL_SECONDS = 60.0
"""The interval between tries while Redis is full: each one writes lists until the memory ends."""
SCAN_COUNT = 1000
RECONCILE_SECONDS = 15.0
"""The interval between reads of the registry, in case an announcement was lost. An announcement is followed at once."""
RETIRED_TTL_SECONDS = 600
"""A replaced model's lists expire after this time. Readers with the old pointer and a rollback still need them."""
Load = Callable[[Path], AbstractContextManager[Ranker]]
"""Loads a model from a bundle's directory, for as long as a publication takes."""

TROUBLE = (SQLAlchemyError, RedisError, OSError, UserError, FaultInProcess, ValueError, ArithmeticError)
"""Errors that a later try may not meet again. Until then, readers keep the old model."""

_seconds = Gauge("sagestream_publication_seconds", "How long the last publication took")
_published_at = Gauge("sagestream_publication_as_of_seconds", "Time of the published lists, epoch seconds")


class PublishingInterrupted(Exception):
    """A publication was asked to stop. The pointer was not switched."""


def retire(redis: Redis, *, keep: Collection[str], ttl_seconds: int, now: int) -> int:
    """Let all lists of all models but `keep` expire, and return their number. `now` is epoch ms.

    They are not deleted at once: a reader may still hold the old pointer, and a rollback needs them. EXPIRE … LT only
    shortens a lifetime, so a second call does not keep an old model longer.
    """
    redis.set(cache.RETIRING, now)
    ends = {version: now + ttl_seconds * 1000 for version in whole(redis) if version not in keep}
    if ends:
        redis.zadd(cache.WHOLE, ends, xx=True, lt=True)  # before the lists: they are never called whole for too long
    redis.zremrangebyscore(cache.WHOLE, "-inf", now)
    retired = 0
    cursor = 0
    while True:
        cursor, keys = cast("tuple[int, list[bytes]]", redis.scan(cursor, count=SCAN_COUNT))
        old = [key for key in keys if cache.version_of(key) not in (None, *keep)]
        if old:
            pipeline = redis.pipeline(transaction=False)
            for key in old:
                pipeline.expire(key, ttl_seconds, lt=True)
            pipeline.execute()
            retired += len(old)
        if cursor == 0:
            redis.delete(cache.RETIRING)
            return retired


@contextmanager
def in_this_process(bundle: Path) -> Iterator[Ranker]:
    """Load the model into this process."""
    yield load_ranker(bundle)


class Publisher:
    """Lets readers follow the registry, and publishes the models that it needs for that."""

    def __init__(
        self,
        source: ShopSource,
        redis: Redis,
        config: ServingConfig,
        *,
        load: Load = in_this_process,
        ray: RayEngine | None = None,
        stop: threading.Event | None = None,
        liveness: Liveness | None = None,
    ) -> None:
        self._source = source
        self._redis = redis
        self._config = config
        self._load = load
        self._ray = ray
        self._stop = stop or threading.Event()
        self._liveness = liveness or Liveness()
        self._told: tuple[str, ...] = ()

    def reconcile(self, *, now: Callable[[], int] = now_ms) -> list[Publication]:
        """Let readers follow the registry. Return what had to be published for that, the champion first.

        Lists that are there are only switched to. A model of an experiment that cannot be published is logged and left
        out, so it stops neither the champion nor the others.

        Raises:
            PublishingInterrupted: A stop was requested during a publication.
            UnusableModel: The champion's bundle cannot be loaded, or contains another model. Errors of `publish` are
                raised, too.
        """
        wanted = self._source.wanted(now=now())
        if wanted is None:
            return []
        self._tell(wanted.problems)
        published = []
        followed = self._switch(now=now())
        for version in wanted.versions:
            if self._is_published(version):
                continue
            try:
                published.append(self._publish(version, now=now))
            except (UserError, FaultInProcess, ValueError, ArithmeticError):
                if version == wanted.champion:
                    raise
                logger.exception("model %s cannot be published, the experiment or probation waits for it", version)
            else:
                followed = self._switch(now=now(), written=version)
        if followed is not None:
            self._retire(followed, any_written=bool(published), now=now())
        return published

    def _switch(self, *, now: int, written: str | None = None) -> Wanted | None:
        return switch(self._redis, lambda: self._source.wanted(now=now), now=now, written=written)

    def _publish(self, version: str, *, now: Callable[[], int]) -> Publication:
        bundle = self._source.bundle(version)
        if bundle is None:
            raise UnusableModel(f"the registry does not know {version}")
        started = time.monotonic()
        self._liveness.beat("loading a model", within_seconds=LOAD_SECONDS)
        with self._load(bundle) as ranker:
            if ranker.model_version != version:
                raise UnusableModel(f"the bundle of {version} says that it is {ranker.model_version}")
            since = SinceTraining.read(ranker, self._source)
            since.tell(ranker)
            as_of = now()
            try:
                done = publish(
                    ranker,
                    self._source,
                    self._redis,
                    ListLimits(k=self._config.list_length, similar_k=self._config.similar_length),
                    as_of=as_of,
                    make=self._by_ray(bundle, version, since, as_of),
                    progress=self._progress,
                )
            except RedisError as error:
                if is_full(error):
                    self._drop_unfinished(version)
                raise
        seconds = time.monotonic() - started
        _seconds.set(seconds)
        _published_at.set(done.as_of / 1000)
        logger.info(
            "published %s: %d shoppers, %d items in %.1f s", *(done.model_version, done.users, done.items), seconds
        )
        return done

    def _by_ray(self, bundle: Path, version: str, since: SinceTraining, as_of: int) -> MakeLists | None:
        """Return what makes the lists by a Ray, or None where the model's process does."""
        if self._ray is None:
            return None
        files = SharedFiles.of(bundle)
        limit = self._source.history_limit
        return partial(self._ray.lists, ListsJob(files, version, as_of, self._config.list_length, limit, since))

    def _drop_unfinished(self, version: str) -> None:
        """Delete the lists of a publication that a full Redis has stopped: they would take the room of all others."""
        if version in whole(self._redis):
            return
        for key in self._redis.scan_iter(count=SCAN_COUNT):
            if cache.version_of(key) == version:
                self._redis.unlink(key)
        logger.error("Redis is full: the unfinished lists of %s are deleted. Raise its maxmemory", version)

    def _is_published(self, version: str) -> bool:
        """Return True when the lists are complete, stay, and have a format that readers know."""
        if whole(self._redis).get(version) != inf:
            return False
        raw = cache.read_bytes(self._redis, [cache.popular_key(version)])[0]
        try:
            return raw is not None and cache.unpack(raw) is not None
        except cache.MalformedList as error:
            logger.warning("the lists of %s are published again: %s", version, error)
            return False

    def _retire(self, wanted: Wanted, *, any_written: bool, now: int) -> None:
        """Let the lists that nobody needs expire. A scan of all keys, so only after a change."""
        staying = {version for version, end in whole(self._redis).items() if end == inf}
        if any_written or staying - {*wanted.versions} or self._redis.exists(cache.RETIRING):
            retired = retire(self._redis, keep=wanted.versions, ttl_seconds=RETIRED_TTL_SECONDS, now=now)
            logger.info("%s serve, %d keys of other models expire", " and ".join(wanted.versions), retired)

    def _tell(self, problems: tuple[str, ...]) -> None:
        """Log the problems of experiments, once."""
        for problem in problems:
            if problem not in self._told:
                logger.error("left out: %s", problem)
        self._told = problems

    def _progress(self, done: int, total: int) -> None:
        self._liveness.beat("publishing", within_seconds=LOAD_SECONDS)
        if self._stop.is_set():
            raise PublishingInterrupted(f"stopped at {done} of {total} shoppers")


def run_publisher(
    config: ServingConfig,
    graphstore: GraphstoreConfig,
    stream: StreamConfig,
    stop: threading.Event,
    *,
    load: Load = ranker_process,
    reconcile_seconds: float = RECONCILE_SECONDS,
) -> None:
    """Follow the registry until `stop`. Errors of SQL, Redis, Kafka or a bundle are logged, and the step is retried."""
    engine = open_engine(graphstore.sqlalchemy_url)
    redis = open_redis(graphstore.redis_url)
    liveness = Liveness()
    watchdog = Watchdog(liveness)
    ray = RayEngine.of(config.publisher_ray)
    publisher = Publisher(ShopSource(engine), redis, config, load=load, ray=ray, stop=stop, liveness=liveness)
    shop_lists = ShopListsRefresh(ShopListsWriter(engine, redis), stop, now=now_ms)
    shop_lists.start()
    subscription = Subscription(stream, MODELS, group=GROUP, max_records=100)
    needs = {"published": "not yet looked for"}
    probe = start_probe(
        stream.probe_port_of("publisher"),
        lambda: {**needs, "kafka": subscription.state},
        host=stream.probe_host,
        alive=lambda: liveness.state,
    )
    logger.info("publisher: health on port %d, following the registry and %s", probe.port, MODELS)
    next_look = 0.0
    try:
        while not stop.is_set():
            if subscription.liveness.state == OK:
                liveness.beat()
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + reconcile_seconds
                try:
                    publisher.reconcile()
                    needs["published"] = OK if cache.champion(redis) else FIRST_MODEL
                except TROUBLE as error:
                    needs["published"] = reason(error)
                    if (service := service_of(error)) is None:
                        logger.exception("the champion could not be published, trying again")
                    else:
                        logger.warning("the champion waits for %s: %s", service, reason(error))
                        pause = FULL_SECONDS if is_full(error) else min(RETRY_SECONDS, reconcile_seconds)
                        next_look = time.monotonic() + pause
            if subscription.poll(POLL_SECONDS):
                next_look = 0.0
    except PublishingInterrupted as interrupted:
        logger.warning("publication given up, readers keep the old model: %s", interrupted)
    finally:
        stop.set()
        shop_lists.join()
        watchdog.close()
        probe.close()
        subscription.close()
        redis.close()
        engine.dispose()
