"""Services: opens Redis and the outbox of a web process when the first request needs them."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.conf import settings

from graphstore.redis.connection import open_redis
from serving.breaker import GuardedRedis
from serving.online.client import RankerClient
from serving.slots.slot_book import SlotBook
from serving.storefront import Storefront
from serving.web.limits import ImpressionLimit, ListLimit
from serving.web.outbox import Letter, Outbox
from stream.kafka.broker import check_reachable
from stream.kafka.producer import EventProducer

_T = TypeVar("_T")

_lock = threading.RLock()
_opened: dict[str, Any] = {}
"""What requests have needed so far, by name. A request pays one look into it."""


def _once(name: str, make: Callable[[], _T]) -> _T:
    """Return the one object of this name, which the first request that needs it makes."""
    found: _T | None = _opened.get(name)
    if found is None:
        with _lock:
            found = _opened.get(name)
            if found is None:
                found = _opened[name] = make()
    return found


def storefront() -> Storefront:
    """Return the readers of Redis. All threads of the process share one connection pool."""
    return _once("storefront", _open_storefront)


def slot_book() -> SlotBook:
    """Return the slots, which follow their file. Raises `SlotsFileError` when the file was never valid."""
    return _once("slot_book", lambda: SlotBook.open(settings.SERVING))


def outbox() -> Outbox:
    """Return the outbox of the process. It connects to Kafka itself and retries."""
    return _once("outbox", lambda: Outbox(_connect_producer, bound=settings.OUTBOX_EVENTS))


def deliver(letters: Sequence[Letter]) -> None:
    """Send events and wait until Kafka has them. Raises `NotDelivered`."""
    outbox().deliver(letters, timeout_seconds=settings.DELIVERY_SECONDS)


def list_limit() -> ListLimit:
    """Return the bound on the lists that callers without the key ask for at once."""
    return _once("list_limit", lambda: ListLimit(settings.SERVING.requests_per_second))


def impression_limit() -> ImpressionLimit:
    """Return the bound on the impressions that callers without the key log."""
    return _once("impression_limit", _impression_limit)


def seen_limit() -> ImpressionLimit:
    """Return the bound on what callers without the key say that they have seen. It is as large, and apart."""
    return _once("seen_limit", _impression_limit)


def track_limit() -> ImpressionLimit:
    """Return the bound on what pages tell of their shoppers. It is as large, and apart."""
    return _once("track_limit", _impression_limit)


def _impression_limit() -> ImpressionLimit:
    return ImpressionLimit(settings.SERVING.requests_per_second)


def _open_storefront() -> Storefront:
    redis = open_redis(
        settings.GRAPHSTORE.redis_url,
        timeout_seconds=settings.READ_TIMEOUT_SECONDS,
        kind=GuardedRedis,
        repeat_timeouts=False,
    )
    return Storefront.open(
        redis,
        pointer_seconds=settings.POINTER_SECONDS,
        item_seconds=settings.ITEM_SECONDS,
        ranker=RankerClient(settings.SERVING.ranker_url, timeout_ms=settings.SERVING.ranker_timeout_ms),
    )


def _connect_producer() -> EventProducer:
    check_reachable(settings.STREAM)  # fails at once, the producer would try for half a minute
    return EventProducer(settings.STREAM, name="serve")


def close() -> None:
    """Send the remaining events and close the connections. The next request opens new ones."""
    with _lock:
        if "outbox" in _opened:
            outbox().close()
        if "storefront" in _opened:
            storefront().redis.close()
            storefront().ranker.close()
        _opened.clear()
