"""Log limit: a message that a Kafka client repeats is logged once in a while, with how often it came.

Arrives: records of the loggers in `REPEATING`. Leaves: the first of each kind, then one in `EVERY_SECONDS`. Next: the
log. While a broker is away, aiokafka writes about thirty lines a second.
"""

import logging
import time
from collections.abc import Callable

REPEATING = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)
EVERY_SECONDS = 30.0


class RepeatFilter(logging.Filter):
    """Passes a message of the same logger and format once in `every_seconds`. `clock` returns seconds."""

    def __init__(self, *, every_seconds: float = EVERY_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_seconds = every_seconds
        self._clock = clock
        # By logger and format: when the last one passed, and how many were left out since.
        self._passed: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged. The number of the records left out is added to its message."""
        kind = (record.name, str(record.msg))
        now = self._clock()
        at, left_out = self._passed.get(kind, (-self._every_seconds, 0))
        if now - at < self._every_seconds:
            self._passed[kind] = (at, left_out + 1)
            return False
        self._passed[kind] = (now, 0)
        if left_out:
            record.msg = f"{record.msg} (and {left_out} more like this)"
        return True


_repeated = RepeatFilter()


def limit_repeated() -> None:
    """Limit what the Kafka client of the worker logs. Safe to repeat."""
    for name in REPEATING:
        logging.getLogger(name).addFilter(_repeated)
