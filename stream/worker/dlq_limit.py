"""The dead letter limit: stops a topic when the share of bad messages is so high that something else must be wrong.

Arrives: the number of messages in a batch, and the bad ones. Leaves: nothing, or the excess. Next:
`stream.worker.worker` stops the topic.

The share is computed at every bad message over the last `window` messages, so a batch is judged by its worst point and
not by its mean. The state belongs to this worker and is empty after a restart: then at least `MIN_SEEN` messages are
needed for a decision, and fewer messages than that can reach the dead letter queue before it.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

MIN_SEEN = 100
"""With fewer messages there is no decision."""
WINDOW = 1_000
"""The share is computed over this many of the last messages of a topic."""


class Excess(NamedTuple):
    """Too many bad messages: `share` of the last `seen` messages, reached at the message with index `at` in the
    batch."""

    share: float
    seen: int
    at: int


class DlqLimit:
    """The limit of one topic. A `share` of 1 never stops it."""

    def __init__(self, *, share: float, window: int = WINDOW) -> None:
        self._share = share
        self._window = window
        self._count = 0
        # The numbers of the bad messages in the window. Messages are numbered from 1 in order of arrival.
        self._bad: deque[int] = deque()

    @property
    def bad(self) -> int:
        """How many messages of the window are bad."""
        return len(self._bad)

    def excess(self, total: int, bad: Sequence[int]) -> Excess | None:
        """Return the excess that a batch of `total` messages with the `bad` ones (ascending indices) would cause, or
        None."""
        checks = [(self._count + index + 1, True) for index in bad]
        if self._count < MIN_SEEN <= self._count + total:
            # Between bad messages the share only falls, but at this message a decision becomes possible.
            checks = sorted([*checks, (MIN_SEEN, False)], key=lambda check: check[0])
        window = self._bad.copy() if checks else self._bad
        for number, is_bad in checks:
            if is_bad:
                window.append(number)
            while window and window[0] <= number - self._window:
                window.popleft()
            seen = min(number, self._window)
            if seen >= MIN_SEEN and len(window) > self._share * seen:
                return Excess(len(window) / seen, seen, number - self._count - 1)
        return None

    def add(self, total: int, bad: Sequence[int]) -> None:
        """Add the batch to the window."""
        self._bad.extend(self._count + index + 1 for index in bad)
        self._count += total
        while self._bad and self._bad[0] <= self._count - self._window:
            self._bad.popleft()
