"""Dead letters: how many wait in the queue, by topic, kind of reason and producer, with a few samples of each.

Arrives: letters of the queue that no replay has handled, read once each. Leaves: `DeadLetters`. Next: the page
`operations`, where an operator asks for a replay of one kind.

Everything is bounded: the kinds, the producers and the samples of each kind, the bytes of a sample, the letters of one
step. The values of fields that name a shopper are masked in samples. The counts live in the monitor's memory: after a
restart they are read again, from the mark of the last replay on.
"""

import re
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from stream.config import StreamConfig
from stream.dlq.queue import OTHER_REASONS, UNREADABLE, Queue, QueuedLetter, kind_of
from stream.events import milliseconds
from stream.kafka.broker import check_reachable

MAX_KINDS = 50
MAX_PRODUCERS = 10
SAMPLES = 3
RAW_BYTES = 400
"""Bytes of a letter that are looked at for a sample."""
SAMPLE_CHARACTERS = 160
KIND_CHARACTERS = 200
"""A kind of reason is cut there; `stream.dlq.queue.Filter` takes the beginning of a kind."""
STEP_LETTERS = 10_000
"""Letters read in one step: about a second of CPU (measured: 100 µs each, most of it Kafka's client)."""
OTHER_PRODUCERS = "other producers"

_NAMES_A_SHOPPER = re.compile(r'("(?:user_id|anonymous_id|email|name|phone|address)"\s*:\s*)"(?:[^"\\]|\\.)*("?)')


@dataclass
class Kind:
    """The letters of one topic and kind of reason. Times are epoch ms."""

    topic: str
    reason: str
    letters: int = 0
    first_seen: int | None = None
    last_seen: int | None = None
    producers: Counter[str] = field(default_factory=Counter)
    """By the name that a producer gave itself; "" for those that gave none."""
    samples: deque[str] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    """The newest letters: place, error, and the beginning of the message with shoppers masked."""

    @property
    def replayable(self) -> bool:
        """Return whether a replay may choose these letters."""
        return bool(self.topic)


@dataclass(frozen=True)
class DeadLetters:
    """What is known of the queue. `complete`: all letters were read."""

    kinds: tuple[Kind, ...] = ()
    letters: int = 0
    complete: bool = False
    counted_at: int | None = None

    def since(self, at: int) -> int:
        """Return the letters of the kinds whose newest letter came at or after `at` (epoch ms)."""
        return sum(kind.letters for kind in self.kinds if kind.last_seen is not None and kind.last_seen >= at)


class DeadLetterCounts:
    """Reads the queue step by step. Several threads may use it; `found` is what the last step knew."""

    def __init__(self) -> None:
        self.found = DeadLetters()
        self._lock = threading.Lock()
        self._handled: dict[tuple[str, str], dict[int, int]] = {}
        self._mark: dict[int, int] | None = None
        self._position: dict[int, int] = {}
        self._kinds: dict[tuple[str, str], Kind] = {}

    def step(self, config: StreamConfig, *, now: int, most: int = STEP_LETTERS) -> DeadLetters:
        """Read at most `most` letters that came since the last step, and return what is known.

        After a replay has moved its mark, the counts begin again at the mark. Raises `kafka.errors.KafkaError`,
        `stream.dlq.queue.NoTopic`.
        """
        check_reachable(config)  # fails at once where nobody listens, a consumer tries for seconds
        with self._lock, Queue(config) as queue:
            mark = queue.mark()
            if mark != self._mark:
                self._mark, self._position, self._kinds = mark, dict(mark), {}
            read = 0
            for queued in islice(queue.letters(self._position), most):
                read += 1
                self._position[queued.partition] = queued.offset + 1
                self._count(queued)
            return self._told(now, complete=read < most)

    def handled(self, topic: str, reason: str, *, now: int) -> None:
        """A replay has handled all letters of this kind that are counted. They wait no more.

        The mark of the queue cannot say so: it stays before the first letter of another kind.
        """
        with self._lock:
            self._handled[topic, reason] = dict(self._position)
            self._kinds.pop((topic, reason), None)
            self._told(now, complete=self.found.complete)

    def _told(self, now: int, *, complete: bool) -> DeadLetters:
        kinds = sorted(self._kinds.values(), key=lambda kind: -kind.letters)
        copies = tuple(replace(kind, producers=kind.producers.copy(), samples=kind.samples.copy()) for kind in kinds)
        self.found = DeadLetters(copies, sum(kind.letters for kind in kinds), complete, now)
        return self.found

    def _count(self, queued: QueuedLetter) -> None:
        letter = queued.letter
        names = ("", UNREADABLE) if letter is None else (letter.topic, kind_of(letter.error)[:KIND_CHARACTERS])
        if names not in self._kinds and len(self._kinds) >= MAX_KINDS:
            names = ("", OTHER_REASONS)
        if queued.offset < self._handled.get(names, {}).get(queued.partition, 0):
            return
        kind = self._kinds.setdefault(names, Kind(*names))
        kind.letters += 1
        known = queued.producer in kind.producers or len(kind.producers) < MAX_PRODUCERS
        kind.producers[queued.producer if known else OTHER_PRODUCERS] += 1
        if letter is not None:
            seen = milliseconds(letter.first_seen)
            kind.first_seen = seen if kind.first_seen is None else min(kind.first_seen, seen)
            kind.last_seen = seen if kind.last_seen is None else max(kind.last_seen, seen)
            place = f"{letter.topic}/{letter.partition}@{letter.offset}"
            kind.samples.append(f"{place}: {masked(letter.raw)}")


def masked(raw: bytes) -> str:
    """Return the beginning of a message as printable text, without the values of fields that name a shopper."""
    text = raw[:RAW_BYTES].decode(errors="replace")
    shown = _NAMES_A_SHOPPER.sub(r'\1"…\2', text)
    printable = "".join(character if character.isprintable() else "·" for character in shown)
    return printable if len(printable) <= SAMPLE_CHARACTERS else printable[: SAMPLE_CHARACTERS - 1] + "…"


def subject_of(kind: Kind) -> str:
    """Return the subject of an errand `dlq_replay` for this kind."""
    return f"{kind.topic} {kind.reason}"


def chosen_by(subject: str) -> tuple[str, str]:
    """Return the topic and the kind of reason that the subject of an errand names; both empty: all letters."""
    topic, _, reason = subject.partition(" ")
    return topic, reason


def producers_in_words(counts: Mapping[str, int]) -> str:
    """Return the producers with the most letters."""
    most = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:3]
    return ", ".join(f"{name or 'not named'}: {count:,}" for name, count in most)
