"""Services: opens Redis and the outbox of a web process when the first request needs them."""

import threading

from django.conf import settings

from graphstore.redis.connection import open_redis
from serving.breaker import GuardedRedis
from serving.online.client import RankerClient
from serving.slots.slot_book import SlotBook
from serving.storefront import Storefront
from serving.web.limits import ImpressionLimit, ListLimit
from serving.web.outbox import Outbox
from stream.kafka.broker import check_reachable
from stream.kafka.producer import EventProducer

_lock = threading.RLock()
_storefront: Storefront | None = None
_slot_book: SlotBook | None = None
_outbox: Outbox | None = None
_list_limit: ListLimit | None = None
_impression_limit: ImpressionLimit | None = None
_seen_limit: ImpressionLimit | None = None
_track_limit: ImpressionLimit | None = None


def storefront() -> Storefront:
    """Return the readers of Redis. All threads of the process share one connection pool."""
    global _storefront
    if _storefront is None:
        with _lock:
            if _storefront is None:
                redis = open_redis(
                    settings.GRAPHSTORE.redis_url,
                    timeout_seconds=settings.READ_TIMEOUT_SECONDS,
                    kind=GuardedRedis,
                    repeat_timeouts=False,
                )
                _storefront = Storefront.open(
                    redis,
                    pointer_seconds=settings.POINTER_SECONDS,
                    item_seconds=settings.ITEM_SECONDS,
                    ranker=RankerClient(settings.SERVING.ranker_url, timeout_ms=settings.SERVING.ranker_timeout_ms),
                )
    return _storefront


def slot_book() -> SlotBook:
    """Return the slots, which follow their file. Raises `SlotsFileError` when the file was never valid."""
    global _slot_book
    if _slot_book is None:
        with _lock:
            if _slot_book is None:
                _slot_book = SlotBook.open(settings.SERVING)
    return _slot_book


def outbox() -> Outbox:
    """Return the outbox of the process. It connects to Kafka itself and retries."""
    global _outbox
    if _outbox is None:
        with _lock:
            if _outbox is None:
                _outbox = Outbox(_connect_producer, bound=settings.OUTBOX_EVENTS)
    return _outbox


def list_limit() -> ListLimit:
    """Return the bound on the lists that callers without the key ask for at once."""
    global _list_limit
    if _list_limit is None:
        with _lock:
            if _list_limit is None:
                _list_limit = ListLimit(settings.SERVING.requests_per_second)
    return _list_limit


def impression_limit() -> ImpressionLimit:
    """Return the bound on the impressions that callers without the key log."""
    global _impression_limit
    if _impression_limit is None:
        with _lock:
            if _impression_limit is None:
                _impression_limit = ImpressionLimit(settings.SERVING.requests_per_second)
    return _impression_limit


def seen_limit() -> ImpressionLimit:
    """Return the bound on what callers without the key say that they have seen. It is as large, and apart."""
    global _seen_limit
    if _seen_limit is None:
        with _lock:
            if _seen_limit is None:
                _seen_limit = ImpressionLimit(settings.SERVING.requests_per_second)
    return _seen_limit


def track_limit() -> ImpressionLimit:
    """Return the bound on what pages tell of their shoppers. It is as large, and apart."""
    global _track_limit
    if _track_limit is None:
        with _lock:
            if _track_limit is None:
                _track_limit = ImpressionLimit(settings.SERVING.requests_per_second)
    return _track_limit


def _connect_producer() -> EventProducer:
    check_reachable(settings.STREAM)  # fails at once, the producer would try for half a minute
    return EventProducer(settings.STREAM, name="serve")


def close() -> None:
    """Send the remaining events and close the connections. The next request opens new ones."""
    global _storefront, _slot_book, _outbox, _list_limit, _impression_limit, _seen_limit, _track_limit
    with _lock:
        if _outbox is not None:
            _outbox.close()
        if _storefront is not None:
            _storefront.redis.close()
            _storefront.ranker.close()
        _storefront, _slot_book, _outbox = None, None, None
        _list_limit, _impression_limit, _seen_limit, _track_limit = None, None, None, None
