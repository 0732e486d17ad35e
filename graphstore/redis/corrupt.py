"""Corrupt values: counts and logs stored bytes that no reader of this version understands.

Arrives: the kind and the name of a value in Redis, and the problem. Leaves: a count and a line in the log. The reader
treats such a value as absent, so one wrong byte never fails a request. Everything in Redis can be rebuilt from SQL.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable

from prometheus_client import Counter

from graphstore.metric_labels import known

logger = logging.getLogger(__name__)

LOG_SECONDS = 60.0
"""Time between two log lines about one kind: a corrupt value is read again with each request."""

KINDS = ("pointer", "routing", "list", "item", "score", "errand", "catalogue")
"""What a corrupt value was meant to be."""

_corrupt = Counter("sagestream_redis_corrupt", "Values in Redis that could not be read and were left out", ["kind"])
_logged_at: dict[str, float] = {}
_lock = threading.Lock()


def left_out(kind: str, key: str, problem: object, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Count a corrupt value, and log it, but not for each request.

    `kind` is one of `KINDS`.
    """
    _corrupt.labels(known(kind, KINDS)).inc()
    now = clock()
    with _lock:
        if now - _logged_at.get(kind, float("-inf")) < LOG_SECONDS:
            return
        _logged_at[kind] = now
    logger.error("the %s %r in Redis is corrupt and counts as absent: %s", kind, key, problem)


def text_of(key: str, raw: bytes) -> str | None:
    """Return the id in the bytes, None when it is no text."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        left_out("item", key, error)
        return None


def readable_scores(key: str, rows: Iterable[tuple[bytes, float]]) -> list[tuple[str, float]]:
    """Return the ids with their scores, without those that are no text or no finite number."""
    kept: list[tuple[str, float]] = []
    for raw, score in rows:
        item_id = text_of(key, raw)
        if item_id is None:
            continue
        if not math.isfinite(score):
            left_out("score", key, f"{score} is not finite")
            continue
        kept.append((item_id, float(score)))
    return kept
