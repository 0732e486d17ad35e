"""Waiting: the events that wait to be told, and when the next ones are due. It neither sends nor sleeps.

Arrives: events, and what became of each batch. Leaves: the next batch, oldest first. Next: `serving.client.buffer`
sends it, in a thread or in a task.

An event leaves when the server has taken it or has refused it by name. Everything else keeps it: an outage, a key that
is changed just now, a mistake of the server. So the bound is the only end, and it is said aloud.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serving.client.answers import RefusedPart, Taken
from serving.client.errors import BadRequest, Refused, SagestreamError, Temporary
from serving.client.retry import Retry
from serving.client.told import Event

TOO_LARGE = 413
OUTAGE = Retry(first_seconds=0.5, most_seconds=30.0)


class BufferFull(Exception):
    """As many events wait as may wait; this one was not taken."""


@dataclass(frozen=True)
class Limits:
    """Bounds of a buffer. The server takes at most 500 events at once."""

    waiting: int = 10_000
    batch_events: int = 200
    age_seconds: float = 1.0
    """How long the oldest event waits for others."""
    retry: Retry = OUTAGE
    """The pauses while events cannot be told. They go on without an end."""


class Waiting:
    """Events in their order. Times are monotonic seconds. One thread at a time uses it."""

    def __init__(self, limits: Limits, *, draw: Callable[[], float] = random.random) -> None:
        self._limits = limits
        self._draw = draw
        self._events: deque[tuple[Event, float]] = deque()
        self._failures = 0
        self._not_before = float("-inf")
        self._size = limits.batch_events

    def __len__(self) -> int:
        return len(self._events)

    @property
    def failing(self) -> bool:
        """Return whether the last batch could not be told."""
        return self._failures > 0

    def add(self, event: Event, *, now: float) -> None:
        """Take an event. Raises `BufferFull`."""
        if len(self._events) >= self._limits.waiting:
            raise BufferFull(f"{len(self._events)} events wait already")
        self._events.append((event, now))

    def due_in(self, now: float, *, hurry: bool = False) -> float | None:
        """Return the seconds until a batch is due, 0: now, None: nothing waits. In a hurry its age does not matter."""
        if not self._events:
            return None
        ripe = hurry or len(self._events) >= self._limits.batch_events
        due = now if ripe else self._events[0][1] + self._limits.age_seconds
        return max(0.0, due - now, self._not_before - now)

    def batch(self) -> list[Event]:
        """Return the next events. They stay until `settle`."""
        return [self._events[place][0] for place in range(min(self._size, len(self._events)))]

    def rest(self) -> list[Event]:
        """Return all events that wait."""
        return [event for event, _ in self._events]

    def settle(
        self, batch: Sequence[Event], result: Taken | SagestreamError, *, now: float
    ) -> list[tuple[Event, RefusedPart]]:
        """Note what became of a batch. Return the events that the server refuses, each with its reason."""
        if isinstance(result, Taken) or (isinstance(result, BadRequest) and result.refused):
            return self._leave(batch, result.refused)
        # The body as a whole is refused: fewer events may pass.
        if isinstance(result, Refused) and (isinstance(result, BadRequest) or result.status == TOO_LARGE):
            if len(batch) == 1:
                return self._leave(batch, [RefusedPart(index=0, field="", reason=result.detail)])
            self._size = len(batch) // 2
            return []
        self._failures += 1
        told = result.retry_after if isinstance(result, Temporary) else None
        pause = self._limits.retry.backoff(self._failures, draw=self._draw())
        self._not_before = now + pause + (told or 0.0)
        return []

    def _leave(self, batch: Sequence[Event], refused: Sequence[RefusedPart]) -> list[tuple[Event, RefusedPart]]:
        for _ in batch:
            self._events.popleft()
        self._failures, self._not_before, self._size = 0, float("-inf"), self._limits.batch_events
        return [(batch[part.index], part) for part in refused if 0 <= part.index < len(batch)]
