"""Touch queue: the touched shoppers who wait for their list, those with the newest touch first.

Arrives: touches of `users.touched`, read ahead of the work. Leaves: batches. Next: `serving.nearline` writes their
lists.

After a burst, the shoppers who still look at the shop are those of the last moment. In the order of arrival, each of
them would wait for all who came before.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

MAX_WAITING = 20_000
"""Near-line reads no further ahead: it bounds the memory, and the search for the newest among them."""


@dataclass(frozen=True)
class Touch:
    """The time of a user's newest event, and the time of its announcement (both epoch ms)."""

    event_time: int
    announced_at: int


class TouchQueue:
    """The newest touch of each shopper who waits."""

    def __init__(self) -> None:
        self._waiting: dict[str, Touch] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, touches: Mapping[str, Touch]) -> None:
        """Add touches. A shopper who waits already keeps the newest of both times."""
        for user, touch in touches.items():
            known = self._waiting.get(user)
            if known is not None:
                event_time = max(touch.event_time, known.event_time)
                touch = Touch(event_time, max(touch.announced_at, known.announced_at))
            self._waiting[user] = touch

    def take(self, count: int) -> dict[str, Touch]:
        """Remove and return the `count` shoppers whose touch was announced last, the newest first."""
        if len(self._waiting) <= count:
            newest = sorted(self._waiting.items(), key=_announced, reverse=True)
        else:
            newest = heapq.nlargest(count, self._waiting.items(), key=_announced)
        for user, _ in newest:
            del self._waiting[user]
        return dict(newest)


def _announced(waiting: tuple[str, Touch]) -> int:
    return waiting[1].announced_at
