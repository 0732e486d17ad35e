"""The dead letter limit: holds a topic when the share of bad messages is so high that something else must be wrong.

Arrives: the number of messages in a batch, and the bad ones with their senders. Leaves: nothing, or the excess and the
seconds of the hold. Next: `stream.worker.worker` holds the topic.

The share is computed at every bad message over the last `window` messages, so a batch is judged by its worst point and
not by its mean. A bad message counts for `WINDOW_SECONDS`.

No one sender can fill the share. A sender is a message key, and also a producer that names itself in the header
`stream.kafka.topics.PRODUCER_HEADER`. Of one sender at most `bad_of_one_sender` bad messages are in the window. Its
further bad messages become dead letters, too, but they count neither as bad nor as seen.

After a hold the limit forgets its window, so that the next messages are judged alone. When they are too bad again, the
next hold takes twice the time. The state belongs to this worker and is empty after a restart. At least `MIN_SEEN`
messages are needed for a decision.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

MIN_SEEN = 100
"""With fewer messages there is no decision."""
WINDOW = 1_000
"""The share is computed over this many of the last messages of a topic."""
WINDOW_SECONDS = 600.0
"""A bad message counts this long."""

HOLD_FIRST_SECONDS = 60.0
HOLD_MAX_SECONDS = 600.0


class BadMessage(NamedTuple):
    """A bad message: its index in the batch, and its sender as far as the message names it."""

    batch_index: int
    key: bytes | None = None
    producer: bytes | None = None


class Excess(NamedTuple):
    """Too many bad messages: `share` of the last `seen` messages, reached at the message with index `at` in the
    batch."""

    share: float
    seen: int
    at: int


@dataclass
class _Window:
    """The messages that count. They are numbered from 1 in order of arrival; `bad` holds the numbers of the bad ones
    with the time (epoch ms) and the sender."""

    count: int = 0
    bad: deque[tuple[int, int, BadMessage]] = field(default_factory=deque)
    keys: Counter[bytes | None] = field(default_factory=Counter)
    producers: Counter[bytes | None] = field(default_factory=Counter)

    def copy(self) -> "_Window":
        return _Window(self.count, self.bad.copy(), self.keys.copy(), self.producers.copy())

    def append(self, number: int, time: int, message: BadMessage) -> None:
        self.bad.append((number, time, message))
        self.keys[message.key] += 1
        self.producers[message.producer] += 1

    def expire(self, last_number: int, last_time: int) -> None:
        """Remove the bad messages up to this number or this time."""
        while self.bad and (self.bad[0][0] <= last_number or self.bad[0][1] <= last_time):
            _, _, message = self.bad.popleft()
            for counts, sender in ((self.keys, message.key), (self.producers, message.producer)):
                counts[sender] -= 1
                if not counts[sender]:
                    del counts[sender]


class DlqLimit:
    """The limit of one topic. A `share` of 1 never holds it. All times are epoch ms."""

    def __init__(self, *, share: float, window: int = WINDOW, first_hold_seconds: float = HOLD_FIRST_SECONDS) -> None:
        self._share = share
        self._size = window
        self._first_hold_seconds = first_hold_seconds
        self._window = _Window()
        self._hold_seconds = first_hold_seconds
        self._released_at: int | None = None
        self.bad_of_one_sender = max(1, int(share * MIN_SEEN / 2))
        """How many bad messages of one sender count: half of the fewest that can hold the topic."""

    @property
    def bad(self) -> int:
        """How many bad messages count now."""
        return len(self._window.bad)

    def excess(self, total: int, bad: Sequence[BadMessage], *, now: int) -> Excess | None:
        """Return the excess that a batch of `total` messages with the `bad` ones (in order) would cause, or None."""
        if not bad and not self._window.count < MIN_SEEN <= self._window.count + total:
            return None  # between bad messages the share only falls
        return self._run(self._window.copy(), total, bad, now)

    def add(self, total: int, bad: Sequence[BadMessage], *, now: int) -> None:
        """Add the batch to the window."""
        self._run(self._window, total, bad, now)

    def hold(self, *, now: int) -> float:
        """Forget the window, and return how many seconds the topic is held from `now` on."""
        quiet = self._released_at is None or now - self._released_at > WINDOW_SECONDS * 1000
        self._hold_seconds = self._first_hold_seconds if quiet else min(2 * self._hold_seconds, HOLD_MAX_SECONDS)
        self._released_at = now + int(self._hold_seconds * 1000)
        self._window = _Window()
        return self._hold_seconds

    def _run(self, window: _Window, total: int, bad: Sequence[BadMessage], now: int) -> Excess | None:
        """Add the batch to `window`. Return the first excess."""
        begin, left_out = window.count, 0
        first: Excess | None = None

        def check(number: int) -> Excess | None:
            seen = min(number, self._size)
            if seen < MIN_SEEN or len(window.bad) <= self._share * seen:
                return None
            return Excess(len(window.bad) / seen, seen, number - begin - 1 + left_out)

        oldest = now - int(WINDOW_SECONDS * 1000)
        last = begin
        for message in bad:
            number = begin + message.batch_index + 1 - left_out
            if last < MIN_SEEN < number:  # a good message, with which there are enough for a decision
                first = first or check(MIN_SEEN)
            window.expire(number - self._size, oldest)
            last = number - 1
            if self._is_full(window, message):
                left_out += 1
                continue
            last = number
            window.append(number, now, message)
            first = first or check(number)
        window.count = begin + total - left_out
        if last < MIN_SEEN <= window.count:
            first = first or check(MIN_SEEN)
        window.expire(window.count - self._size, oldest)
        return first

    def _is_full(self, window: _Window, message: BadMessage) -> bool:
        if self._share >= 1:
            return False
        by_producer = 0 if message.producer is None else window.producers[message.producer]
        return max(window.keys[message.key], by_producer) >= self.bad_of_one_sender
