"""The bound on bad input: when so much of a topic is bad that something else is wrong, stop instead of draining it.

Arrives: how many messages a batch has, and which of them are bad. Leaves: nothing, or the excess. Next:
`stream.worker.worker` stops the topic.

The share is taken at every bad message over the last `window` messages, so that a batch is judged by its worst moment
and not by its mean. State is this worker's own and begins empty: after a restart at least `MIN_SEEN` messages are
needed for a verdict, and fewer than that can reach the dead letter queue before it.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

MIN_SEEN = 100
"""With fewer messages than this, no share is told."""


class Excess(NamedTuple):
    """More is bad than may be: `share` of the last `seen` messages, as seen at the batch's message number `at`."""

    share: float
    seen: int
    at: int


class DlqLimit:
    """The window of one topic. A `share` of 1 never stops."""

    def __init__(self, *, share: float, window: int) -> None:
        self._share = share
        self._window = window
        self._count = 0
        # The numbers of the bad messages in the window; the topic's messages are numbered from 1 as they come.
        self._bad: deque[int] = deque()

    @property
    def bad(self) -> int:
        """How many messages of the window are bad."""
        return len(self._bad)

    def excess(self, total: int, bad: Sequence[int]) -> Excess | None:
        """What would be wrong within a batch of `total` messages with the `bad` ones (ascending indices) in it."""
        moments = [(self._count + index + 1, True) for index in bad]
        if self._count < MIN_SEEN <= self._count + total:
            # From one bad message to the next the share only falls, but here a verdict becomes possible.
            moments = sorted([*moments, (MIN_SEEN, False)], key=lambda moment: moment[0])
        window = self._bad.copy() if moments else self._bad
        for number, is_bad in moments:
            if is_bad:
                window.append(number)
            while window and window[0] <= number - self._window:
                window.popleft()
            seen = min(number, self._window)
            if seen >= MIN_SEEN and len(window) > self._share * seen:
                return Excess(len(window) / seen, seen, number - self._count - 1)
        return None

    def add(self, total: int, bad: Sequence[int]) -> None:
        """Take the batch into the window."""
        self._bad.extend(self._count + index + 1 for index in bad)
        self._count += total
        while self._bad and self._bad[0] <= self._count - self._window:
            self._bad.popleft()
