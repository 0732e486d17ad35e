"""Dead letters sent again, once the fault is mended.

Arrives: letters of the queue (`stream.dlq.queue`). Leaves: the kept bytes of those that are valid now, on the topic
that they came from and under their key. Next: the worker takes them like any message, and an event that it knew counts
once.

The mark is moved only after the broker has all that was sent: a replay that is killed sends some letters twice and
none never. What is still invalid is counted and not sent: it would only come back, and the queue would grow.
"""

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stream import events
from stream.dlq.dead_letters import LATE
from stream.dlq.queue import MAX_REASONS, OTHER_REASONS, UNREADABLE, Filter, Queue, QueuedLetter, kind_of
from stream.events import DeadLetter
from stream.kafka.producer import EventProducer
from stream.routes import ROUTES

FLUSH_LETTERS = 1_000

KINDS = {route.topic: kind for kind, route in ROUTES.items()}


class Verdict(enum.StrEnum):
    """What is to be done with a letter."""

    SEND = "sent"
    INVALID = "invalid"
    """Still outside the contract: sent again, it would only come back."""
    CUT = "cut"
    """It was too large to be kept whole."""
    EMPTY = "empty"
    """There was no value: of a delete, the key was wrong."""
    LATE = "late"
    """Older than the graph's compaction, and so are its duplicates; sent only where the reason is asked for."""
    FOREIGN = "foreign"
    """No letter of the contract, or of a topic that the worker does not read."""


def judge(letter: DeadLetter | None, *, now: datetime, late_too: bool = False) -> tuple[Verdict, str]:
    """The verdict on a letter, and why. `late_too`: what came too late is sent, for a graph that was made anew."""
    kind = KINDS.get(letter.topic) if letter else None
    if letter is None or kind is None:
        return Verdict.FOREIGN, UNREADABLE if letter is None else f"the worker does not read {letter.topic}"
    if not letter.raw:
        return Verdict.EMPTY, letter.error
    if len(letter.raw) >= events.MAX_DEAD_LETTER_BYTES:
        return Verdict.CUT, letter.error
    if letter.error == LATE and not late_too:
        return Verdict.LATE, letter.error
    try:
        events.decode(letter.raw, kind, now=now)
    except events.InvalidEvent as error:
        return Verdict.INVALID, str(error)
    return Verdict.SEND, ""


@dataclass
class Resent:
    """What a replay did with the letters that it was to take, by verdict; `reasons` says why some stayed."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: int = 0
    """Letters that the filter did not mean."""


def resend(
    letters: Iterable[QueuedLetter],
    *,
    now: datetime,
    chosen: Filter,
    send: Callable[[str, bytes, bytes | None], None],
    settle: Callable[[Mapping[int, int]], None],
    stop: Callable[[], bool] = lambda: False,
) -> Resent:
    """Judge each letter; `send(topic, value, key)` what is valid now, `settle(mark)` from time to time and at the end.

    The mark moves over everything that was judged, and stays before the first letter that the filter left out: that
    one is still to be taken.
    """
    done = Resent()
    mark: dict[int, int] = {}
    held: set[int] = set()
    unsettled = 0
    for queued in letters:
        if stop():
            break
        if not chosen.takes(queued.letter):
            done.left_out += 1
            held.add(queued.partition)
            continue
        verdict, reason = judge(queued.letter, now=now, late_too=chosen.reason is not None)
        done.verdicts[verdict] += 1
        if verdict is Verdict.SEND and queued.letter is not None:
            send(queued.letter.topic, queued.letter.raw, queued.key)
        else:
            _count_reason(done.reasons, verdict, reason)
        if queued.partition not in held:
            mark[queued.partition] = queued.offset + 1
        unsettled += 1
        if unsettled >= FLUSH_LETTERS:
            settle(mark)
            unsettled = 0
    settle(mark)
    return done


def _count_reason(reasons: Counter[tuple[str, str]], verdict: Verdict, reason: str) -> None:
    named = (verdict.value, kind_of(reason))
    if named not in reasons and len(reasons) >= MAX_REASONS:
        named = (verdict.value, OTHER_REASONS)
    reasons[named] += 1


def replay(
    queue: Queue,
    producer: EventProducer | None,
    *,
    now: datetime,
    chosen: Filter,
    all_letters: bool,
    stop: Callable[[], bool] = lambda: False,
) -> Resent:
    """Send again what came since the last replay (`all_letters`: all that the queue holds). Without a `producer`,
    look only: nothing is sent and the mark stays.

    Raises `stream.kafka.producer.DeliveryError`; the mark is then where the last flush was whole.
    """

    def send(topic: str, value: bytes, key: bytes | None) -> None:
        if producer is not None:
            producer.send_raw(topic, value, key=key)

    def settle(mark: Mapping[int, int]) -> None:
        if producer is not None:
            producer.flush()
            # From the oldest letter on, the mark may only be confirmed or moved on.
            floor = before if all_letters else {}
            queue.remember({partition: max(offset, floor.get(partition, 0)) for partition, offset in mark.items()})

    before = queue.mark()
    letters = queue.letters(None if all_letters else before)
    return resend(letters, now=now, chosen=chosen, send=send, settle=settle, stop=stop)
