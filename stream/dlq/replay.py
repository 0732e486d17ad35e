"""Replay of dead letters: sends them again after the fault is repaired.

Arrives: letters of the queue (`stream.dlq.queue`). Leaves: the bytes of the letters that are valid now, on their
original topic and with their key. Next: the worker handles them like any message; a known event counts once.

The mark moves only after the broker has all sent messages. So a killed replay sends some letters twice but loses no
letter. Letters that are still invalid are counted and not sent, because they would come back as dead letters.
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
    """The decision about a letter."""

    SEND = "sent"
    INVALID = "invalid"
    """Still not a valid event."""
    CUT = "cut"
    """The queue keeps only a part of it, because it was too large."""
    EMPTY = "empty"
    """It has no value: a delete with a wrong key."""
    LATE = "late"
    """Older than the compaction horizon; sent only when the filter names a reason."""
    FOREIGN = "foreign"
    """Not a letter of the contract, or from a topic that the worker does not read."""


def judge(letter: DeadLetter | None, *, now: datetime, late_too: bool = False) -> tuple[Verdict, str]:
    """Return the verdict on a letter and its reason. `late_too` also sends late events, for a graph that is rebuilt."""
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
    """The result of a replay: letters by verdict, and the reasons of the letters that were not sent."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: int = 0
    """Letters that the filter did not select."""


def resend(
    letters: Iterable[QueuedLetter],
    *,
    now: datetime,
    chosen: Filter,
    send: Callable[[str, bytes, bytes | None], None],
    settle: Callable[[Mapping[int, int]], None],
    stop: Callable[[], bool] = lambda: False,
) -> Resent:
    """Judge each letter, send the valid ones, and move the mark from time to time and at the end.

    The mark moves over all judged letters. It stays before the first letter that the filter left out, because a later
    replay must still handle that letter.

    Args:
        letters: the letters of the queue, in order.
        now: the time that bounds event times.
        chosen: selects the letters.
        send: called with (topic, value, key) of each valid letter.
        settle: called with the mark; must make everything that was sent durable first.
        stop: returns true to end the replay.
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
    """Send the letters since the last replay again (`all_letters`: all letters of the queue).

    Without a `producer` this is a dry run: nothing is sent and the mark stays. Raises
    `stream.kafka.producer.DeliveryError`; the mark then stays at the last complete flush.
    """

    def send(topic: str, value: bytes, key: bytes | None) -> None:
        if producer is not None:
            producer.send_raw(topic, value, key=key)

    def settle(mark: Mapping[int, int]) -> None:
        if producer is not None:
            producer.flush()
            # A replay of all letters must not move the mark back.
            floor = before if all_letters else {}
            queue.remember({partition: max(offset, floor.get(partition, 0)) for partition, offset in mark.items()})

    before = queue.mark()
    letters = queue.letters(None if all_letters else before)
    return resend(letters, now=now, chosen=chosen, send=send, settle=settle, stop=stop)
