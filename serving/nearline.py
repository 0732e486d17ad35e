"""Near-line: computes a user's list again, soon after each new event of this user.

Arrives: messages on `users.touched`, sent after the event is durable. Leaves: `near:{version}:{user}`, newer than the
published list, the lists of `serving.shared_lists`, and the measured delay from event to list. Next:
`serving.recommend` takes the newer of the two lists.

The models are those in the pointer `recs:champion` and in the routing `recs:routing`, so near-line lists and published
lists always come from the same models. During a probation or an experiment each touched user gets a list of each model:
then everybody can be switched to any of them at once. A model is in memory only while it is needed.

A user is skipped when Redis holds a list computed after the touch was announced. This one rule covers a batch that
arrives twice, a backlog older than the publication, and a switch of models.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from kafka.consumer.fetcher import ConsumerRecord
from prometheus_client import Counter, Histogram
from redis import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy.exc import DataError, SQLAlchemyError

from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError, reason
from graphstore.outages import service_of
from graphstore.queries import HistoryRow
from graphstore.redis.connection import open_redis
from graphstore.redis.lifetime import VISITOR_DAYS
from graphstore.session import now_ms, open_engine
from graphstore.tracing import note
from serving import cache
from serving.config import ServingConfig
from serving.followed_models import FollowedModels
from serving.forget import drop_lists_of_erased
from serving.ranker import LiveRanker, load_ranker, rank
from serving.shared_lists import SharedLists
from serving.source import ShopSource
from serving.touch_queue import MAX_WAITING, Touch, TouchQueue
from stream.config import StreamConfig
from stream.events import USERS_TOUCHED, InvalidEvent, UserTouched, decode, milliseconds
from stream.kafka.batch_context import working_on
from stream.kafka.subscription import Subscription
from stream.liveness import Liveness, Watchdog
from stream.probe import FIRST_MODEL, OK, start_probe

logger = logging.getLogger(__name__)

GROUP = "nearline"
POLL_SECONDS = 0.2
RETRY_SECONDS = 1.0
CLOCK_SKEW_MS = 2_000
"""Largest difference between the clocks of two machines. Only a list newer by more than this makes a touch stale."""

STARTING = "not yet looked for"
REMEMBERED_TOUCHES = 100_000
"""The number of recently touched users whose lists are refreshed when the model changes."""
BATCH_USERS = 128
"""The number of touched users in one refresh. With more, the scores leave the processor's cache: 256 cost a tenth more
for each."""
POLL_RECORDS = 2_000
"""The number of touches in one read: after a burst, the newest are found by reading all."""
DAY_SECONDS = 86_400
FRESHNESS_SAMPLES = 10_000
"""The number of measured delays in Redis. The report computes its percentiles from them."""
_refreshed = Counter("sagestream_nearline_lists", "Near-line lists written")
_stale = Counter("sagestream_nearline_stale", "Touches that a newer list made superfluous")
_ahead = Counter("sagestream_nearline_clock_ahead", "Lists of users with an event later than our clock")
_freshness = Histogram(
    "sagestream_freshness_seconds",
    "Seconds from a shopper's event to their changed list",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0),
)


class NearLine:
    """Refreshes the lists of single users with the served models."""

    def __init__(
        self,
        source: ShopSource,
        redis: Redis,
        config: ServingConfig,
        *,
        load: Callable[[Path], LiveRanker] = load_ranker,
        freshness_samples: int = FRESHNESS_SAMPLES,
        liveness: Liveness | None = None,
        visitor_days: int = VISITOR_DAYS,
    ) -> None:
        self._source = source
        self._redis = redis
        self._config = config
        self._freshness_samples = freshness_samples
        self._ttl_seconds = visitor_days * DAY_SECONDS
        self._liveness = liveness or Liveness()
        self.remembered: OrderedDict[str, Touch] = OrderedDict()
        """The newest touch of each user, oldest first. A new model first refreshes their lists."""
        self._followed = FollowedModels(
            source,
            redis,
            trend_seconds=config.trend_refresh_seconds,
            load=load,
            ready=self._catch_up,
            liveness=self._liveness,
        )
        self._now: Callable[[], int] = now_ms
        self._changed: set[str] = set()
        """Models whose shared lists are not written yet."""
        self._shared = SharedLists(redis, config)

    @property
    def rankers(self) -> Mapping[str, LiveRanker]:
        """The loaded models by version, the champion first."""
        return self._followed.models

    def follow(self, *, now: Callable[[], int] = now_ms) -> bool:
        """Follow pointer and routing (see `FollowedModels.follow`). Return True when a model was loaded.

        Recently touched users are refreshed at once, because the new model's lists may be older than their touches.
        """
        self._now = now
        return bool(self._followed.follow())

    def _catch_up(self, version: str, ranker: LiveRanker) -> None:
        """Write the first lists of a model before it serves."""
        self._shared.forget(version)
        self._shared.write(ranker, now=self._now())
        touches = dict(self.remembered)
        for users in _chunks(list(touches), BATCH_USERS):
            self._liveness.beat("refreshing lists")
            self._write({version: ranker}, {user: touches[user] for user in users}, now=self._now)

    def freshen(self, *, now: int) -> None:
        """Follow stock, new items and counts where it is due, and write a changed model's shared lists again."""
        self._changed |= {*self._followed.freshen()}
        self._write_changed(now=now)

    def refresh_trend(self, *, now: int) -> None:
        """Read the newest counts, and write each model's shared lists again."""
        self._changed |= {*self._followed.refresh_trend()}
        self._write_changed(now=now)

    def _write_changed(self, *, now: int) -> None:
        for version in list(self._changed):
            if version in self.rankers:
                self._shared.write(self.rankers[version], now=now)
            self._changed.discard(version)  # after the write: an error leaves it for the next call

    def refresh(self, touches: Mapping[str, Touch], *, now: Callable[[], int] = now_ms) -> int:
        """Write the lists of touched users and return their number. Without a model, only remember the touches.

        `now` is called before the histories are read (the time of the lists) and after the champion's lists are written
        (it gives the delay). Forgotten users have no list afterwards, even when an earlier try was killed before it
        checked for them.
        """
        self.remember(touches)
        if not self.rankers or not touches:
            return 0
        return self._write(self.rankers, touches, now=now, measured=next(iter(self.rankers)))

    def _write(
        self,
        rankers: Mapping[str, LiveRanker],
        touches: Mapping[str, Touch],
        *,
        now: Callable[[], int],
        measured: str | None = None,
    ) -> int:
        """Write the models' lists of the touched users; `measured` is the model whose delay is recorded."""
        read_at = now()
        due = {version: self._due(version, touches, now=read_at) for version in rankers}
        _stale.inc(sum(len(touches) - len(users) for users in due.values()))
        some = list(dict.fromkeys(user for users in due.values() for user in users))
        histories = self._source.histories_of(some) if some else {}
        written = 0
        for version, ranker in rankers.items():
            users = [user for user in due[version] if user in histories]
            if not users:
                continue
            past = [_before(histories[user], read_at) for user in users]
            packed = rank(ranker, past, as_of=read_at, k=self._config.list_length)
            names = [cache.near_key(version, user) for user in users]
            cache.write_lists(self._redis, dict(zip(names, packed, strict=True)), ttl_seconds=self._ttl_seconds)
            if version == measured:
                written_at = now()
                self._record_freshness([max(0, written_at - touches[user].event_time) for user in users])
            written += len(users)
        _refreshed.inc(written)
        for user in drop_lists_of_erased(self._redis, self._source, list(rankers), list(touches)):
            self.remembered.pop(user, None)
        return written

    def _due(self, version: str, touches: Mapping[str, Touch], *, now: int) -> list[str]:
        """Return the users whose newest list is older than their touch, or has a time that has not come yet."""
        users = list(touches)
        keys = [key(version, user) for user in users for key in (cache.recs_key, cache.near_key)]
        found = cache.read_bytes(self._redis, keys)
        due = []
        for place, user in enumerate(users):
            newest = max(map(_time_of, found[2 * place : 2 * place + 2]))
            if newest <= touches[user].announced_at + CLOCK_SKEW_MS or newest > now + CLOCK_SKEW_MS:
                due.append(user)
        return due

    def remember(self, touches: Mapping[str, Touch]) -> None:
        """Remember the newest touches for the next model."""
        for user, touch in touches.items():
            self.remembered[user] = touch
            self.remembered.move_to_end(user)
        while len(self.remembered) > REMEMBERED_TOUCHES:
            self.remembered.popitem(last=False)

    def _record_freshness(self, delays_ms: Sequence[int]) -> None:
        for delay in delays_ms:
            _freshness.observe(delay / 1000)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.lpush(cache.FRESHNESS, *delays_ms)
        pipeline.ltrim(cache.FRESHNESS, 0, self._freshness_samples - 1)
        pipeline.execute()


def _before(rows: Sequence[HistoryRow], as_of: int) -> Sequence[HistoryRow]:
    """Return the history with every event before `as_of` (epoch ms), the time of the list.

    The clock of the shopper's device may be ahead. Were its time the time of the list, no list of ours would be newer
    until our clock is there.
    """
    if not rows or rows[-1][1] < as_of:
        return rows
    if rows[-1][1] > as_of + CLOCK_SKEW_MS:
        _ahead.inc()
    return [(item, min(time, as_of - 1), kind) for item, time, kind in rows]


def _time_of(raw: bytes | None) -> int:
    """Return the time of a list (epoch ms), or 0 when it is missing or malformed, so that it is written again."""
    try:
        return 0 if raw is None else cache.unpack_as_of(raw)
    except cache.MalformedList as error:
        logger.error("a list is written again: %s", error)
        return 0


def newest_touches(records: Iterable[ConsumerRecord], *, now: datetime) -> dict[str, Touch]:
    """Return the newest touch of each user. An invalid message is logged and skipped."""
    queue = TouchQueue()
    for record in records:
        try:
            event = decode(record.value or b"", UserTouched, now=now)
        except InvalidEvent as error:
            logger.error("%s[%d]@%d is no touch: %s", record.topic, record.partition, record.offset, error)
            continue
        # Without a record time, the touch counts as announced now, so it is never stale.
        announced_at = record.timestamp if record.timestamp and record.timestamp > 0 else milliseconds(now)
        queue.add({event.user_id: Touch(milliseconds(event.event_time), announced_at)})
    return queue.take(len(queue))


def _chunks(users: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (users[start : start + size] for start in range(0, len(users), size))


def run_nearline(
    config: ServingConfig,
    graphstore: GraphstoreConfig,
    stream: StreamConfig,
    stop: threading.Event,
    *,
    load: Callable[[Path], LiveRanker] = load_ranker,
) -> None:
    """Refresh the lists of touched users until `stop`.

    While SQL or Redis is unreachable, the batch is retried. A batch with invalid content is skipped. Both are logged.
    """
    engine = open_engine(graphstore.sqlalchemy_url)
    redis = open_redis(graphstore.redis_url)
    liveness = Liveness()
    watchdog = Watchdog(liveness)
    near = NearLine(
        ShopSource(engine), redis, config, load=load, liveness=liveness, visitor_days=graphstore.visitor_days
    )
    subscription = Subscription(stream, USERS_TOUCHED, group=GROUP, max_records=POLL_RECORDS)
    waiting = TouchQueue()
    needs = {"model": STARTING}
    probe = start_probe(
        stream.probe_port_of("nearline"),
        lambda: {**needs, "kafka": subscription.state},
        host=stream.probe_host,
        alive=lambda: liveness.state,
    )
    logger.info("near-line: health on port %d, following %s", probe.port, USERS_TOUCHED)
    try:
        while not stop.is_set():
            records = list(subscription.poll(0.0 if waiting else POLL_SECONDS, handled=not waiting))
            while len(waiting) + len(records) < MAX_WAITING and (newer := subscription.poll(0.0, handled=False)):
                records += newer
            with working_on("refresh", USERS_TOUCHED, records):
                arrived = newest_touches(records, now=datetime.now(UTC))
                near.remember(arrived)
                waiting.add(arrived)
                touches = waiting.take(BATCH_USERS)
                while not stop.is_set():
                    if subscription.liveness.state == OK:
                        liveness.beat("refreshing lists")
                    try:
                        near.follow()
                        note(lists=near.refresh(touches))
                        near.freshen(now=now_ms())
                        needs["model"] = OK if near.rankers else FIRST_MODEL
                        break
                    except (SQLAlchemyError, RedisError, OSError) as error:
                        needs["model"] = reason(error)
                        service = service_of(error)
                        if service is None and isinstance(error, DataError | ResponseError):  # the same again next time
                            logger.exception("%d touches are left out", len(touches))
                            break
                        logger.warning(
                            "%d touches wait for %s: %s", len(touches), service or "a later try", reason(error)
                        )
                        stop.wait(RETRY_SECONDS)
                    except (UserError, ValueError, ArithmeticError) as error:
                        logger.exception("%d touches are left out", len(touches))
                        needs["model"] = reason(error)
                        break
    finally:
        watchdog.close()
        probe.close()
        subscription.close()
        redis.close()
        engine.dispose()
