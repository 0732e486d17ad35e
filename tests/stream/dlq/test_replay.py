"""What is sent again, what stays, and where the mark is; `tests/stream/dlq/test_queue.py` does it on real brokers."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from stream import events
from stream.dlq import replay
from stream.dlq.dead_letters import LATE
from stream.dlq.queue import Filter, QueuedLetter
from stream.dlq.replay import Verdict, judge
from stream.events import DeadLetter
from stream.routes import ROUTES

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
GOOD = {
    "event_id": "e1",
    "event_type": "purchase",
    "user_id": "u1",
    "item_id": "i1",
    "event_time": "2026-01-05T11:59:00Z",
}


def raw(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def letter(value: bytes, error: str = "broken", topic: str = events.INTERACTIONS) -> DeadLetter:
    return DeadLetter(raw=value, topic=topic, partition=0, offset=7, error=error, first_seen=NOW)


def queued(offset: int, content: DeadLetter | None) -> QueuedLetter:
    return QueuedLetter(0, offset, b"u1", content)


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (letter(raw()), Verdict.SEND),
        (letter(raw(event_type="stare")), Verdict.INVALID),
        (letter(b""), Verdict.EMPTY),
        (letter(b" " * events.MAX_DEAD_LETTER_BYTES), Verdict.CUT),
        (letter(raw(), error=LATE), Verdict.LATE),
        (letter(raw(), topic="models"), Verdict.FOREIGN),
        (letter(raw(), topic=events.CATALOG), Verdict.INVALID),
        (None, Verdict.FOREIGN),
    ],
)
def test_verdicts(content: DeadLetter | None, verdict: Verdict) -> None:
    assert judge(content, now=NOW)[0] is verdict


def test_what_came_too_late_is_sent_where_it_is_asked_for() -> None:
    assert judge(letter(raw(), error=LATE), now=NOW, late_too=True)[0] is Verdict.SEND


@pytest.mark.parametrize("kind", list(ROUTES))
def test_every_topic_of_history_can_be_sent_again(kind: type[Any]) -> None:
    examples: dict[str, Any] = {
        **GOOD, "title": "Tea", "anonymous_id": "s", "request_id": "r", "slot": "home", "model_version": "m",
        "variant": "v", "items": [], "positions": [0],
    }  # fmt: skip
    fields = {field.name for field in msgspec.structs.fields(kind)}
    value = json.dumps({name: example for name, example in examples.items() if name in fields}).encode()
    assert judge(letter(value, topic=ROUTES[kind].topic), now=NOW) == (Verdict.SEND, "")


def _resend(letters: list[QueuedLetter], stop: Callable[[], bool] = lambda: False) -> tuple[Any, list[str]]:
    log: list[str] = []

    def settle(mark: Mapping[int, int]) -> None:
        log.append(f"mark {dict(mark)}")

    def send(topic: str, value: bytes, key: bytes | None) -> None:
        log.append(f"{topic} {key!r}")

    done = replay.resend(letters, now=NOW, chosen=Filter(), send=send, settle=settle, stop=stop)
    return done, log


def test_the_mark_follows_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "FLUSH_LETTERS", 2)
    letters = [queued(n, letter(raw() if n % 2 else b"")) for n in range(5)]
    done, log = _resend(letters)
    sent = "interactions b'u1'"
    assert log == [sent, "mark {0: 2}", sent, "mark {0: 4}", "mark {0: 5}"]
    assert done.verdicts == {Verdict.SEND: 2, Verdict.EMPTY: 3}


def test_an_interrupted_replay_remembers_how_far_it_came() -> None:
    looks = iter([False, False, True])
    done, log = _resend([queued(n, letter(raw())) for n in range(5)], stop=lambda: next(looks))
    assert done.verdicts == {Verdict.SEND: 2}
    assert log[-1] == "mark {0: 2}"


def test_an_undelivered_letter_leaves_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "FLUSH_LETTERS", 2)
    marks: list[Mapping[int, int]] = []

    def settle(mark: Mapping[int, int]) -> None:
        if marks:
            raise ConnectionError("the broker is away")
        marks.append(dict(mark))

    with pytest.raises(ConnectionError):
        replay.resend(
            [queued(n, letter(raw())) for n in range(5)],
            now=NOW,
            chosen=Filter(),
            send=lambda *_: None,
            settle=settle,
        )
    assert marks == [{0: 2}]
