"""Fresh watch: sees in Redis when events are stored and when lists change, and computes the delay of each stage.

Arrives: notifications of Redis, the touches on Kafka, and the send times. Leaves: delays in milliseconds. Next:
`benchmarks.freshness`.

Redis reports each written key (keyspace notifications). An event is stored when `recent:{user}` is written, touched at
the time of its message on `users.touched`, and its list has changed when `near:{version}:{user}` is written. All times
are of this machine's clock, those of Kafka in whole milliseconds; a notification may be read a moment after its write.
"""

import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Self

import msgspec
from kafka import TopicPartition
from redis import Redis

from graphstore.redis import hot
from serving import cache
from stream.config import StreamConfig
from stream.events import USERS_TOUCHED
from stream.kafka.clients import open_consumer

WAIT_SECONDS = 0.2
READ_MS = 2_000
STAGES = ("produced_to_stored", "stored_to_touched", "touched_to_list")

Times = dict[str, list[float]]
"""By user: epoch seconds, in order."""


@dataclass(frozen=True)
class Delay:
    """The stages of one event, in milliseconds. `sent` is in epoch seconds."""

    user: str
    sent: float
    stages: tuple[float, float, float]

    @property
    def whole(self) -> float:
        """From the event to the changed list."""
        return sum(self.stages)


@dataclass
class Watch:
    """Notes when keys of users are written, from the start of the block to its end."""

    redis: Redis
    version: str
    stored: Times = field(default_factory=lambda: defaultdict(list))
    listed: Times = field(default_factory=lambda: defaultdict(list))

    def __enter__(self) -> Self:
        self.redis.config_set("notify-keyspace-events", "Kz$")
        self._listener = self.redis.pubsub(ignore_subscribe_messages=True)
        self._prefixes = {hot.recent_key(""): self.stored, cache.near_key(self.version, ""): self.listed}
        self._listener.psubscribe(*(f"__keyspace@*__:{prefix}*" for prefix in self._prefixes))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def wait_for_lists(self, users: Iterable[str], *, since: float, seconds: float) -> set[str]:
        """Wait until each user has a list written after `since`. Return those who have none after `seconds`."""
        missing, deadline = set(users), time.monotonic() + seconds
        while missing and time.monotonic() < deadline:
            time.sleep(WAIT_SECONDS)
            missing = {user for user in missing if not any(at >= since for at in self.listed.get(user, ()))}
        return missing

    def _run(self) -> None:
        while not self._stop.is_set():
            message = self._listener.get_message(timeout=WAIT_SECONDS)
            if message is None:
                continue
            now, key = time.time(), message["channel"].decode().partition("__:")[2]
            for prefix, times in self._prefixes.items():
                if key.startswith(prefix):
                    times[key.removeprefix(prefix)].append(now)


def touches(config: StreamConfig) -> Times:
    """Return the times of all touches on the topic, by user."""
    found: Times = defaultdict(list)
    consumer = open_consumer(config, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        partitions = consumer.partitions_for_topic(USERS_TOUCHED) or set()
        consumer.assign([TopicPartition(USERS_TOUCHED, partition) for partition in partitions])
        while batches := consumer.poll(timeout_ms=READ_MS, max_records=10_000):
            for record in (record for records in batches.values() for record in records):
                found[msgspec.json.decode(record.value)["user_id"]].append(record.timestamp / 1000)
    finally:
        consumer.close()
    return {user: sorted(times) for user, times in found.items()}


def delays(
    sent: Sequence[tuple[str, float]],
    stored: Mapping[str, list[float]],
    touched: Times,
    listed: Mapping[str, list[float]],
) -> list[Delay]:
    """Return the stages of each event. Raises `RuntimeError` for an event that did not become a list."""
    found = []
    for user, time_sent in sent:
        at_stored = _first(stored.get(user, []), time_sent)
        at_touched = _first(touched.get(user, []), int(time_sent * 1000) / 1000)  # Kafka's times are whole milliseconds
        at_listed = None if at_touched is None else _first(listed.get(user, []), at_touched)
        if at_stored is None or at_touched is None or at_listed is None:
            raise RuntimeError(f"the event of {user} at {time_sent:.3f} changed no list")
        times = (time_sent, at_stored, at_touched, at_listed)
        first, second, third = (1000 * (after - before) for before, after in pairwise(times))
        found.append(Delay(user, time_sent, (first, second, third)))
    return found


def _first(times: Sequence[float], since: float) -> float | None:
    place = bisect_left(times, since)
    return times[place] if place < len(times) else None
