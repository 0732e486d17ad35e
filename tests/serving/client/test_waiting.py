"""Whatever the server answers: each event leaves once, in its order, and none is lost in silence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.client import BadRequest, BufferFull, Event, EventType, KeyRefused, Limits, Refused, Unavailable
from serving.client.answers import RefusedPart, Taken
from serving.client.errors import SagestreamError
from serving.client.waiting import Waiting


def event(number: int) -> Event:
    return Event(event_id=f"e{number}", event_type=EventType.VIEW, user_id="u", item_id="i")


def part(index: int) -> RefusedPart:
    return RefusedPart(index=index, field="item_id", reason="bad")


ANSWERS = st.sampled_from(["taken", "one refused", "all refused", "away", "busy", "key", "large", "body"])


def answer(kind: str, size: int) -> Taken | SagestreamError:
    every: dict[str, Taken | SagestreamError] = {
        "taken": Taken(accepted=size),
        "one refused": Taken(accepted=size - 1, refused=[part(size - 1)]),
        "all refused": BadRequest("bad", refused=[part(index) for index in range(size)]),
        "away": Unavailable("away"),
        "busy": Unavailable("busy", retry_after=7.0),
        "key": KeyRefused("no", status=401),
        "large": Refused("large", status=413),
        "body": BadRequest("NUL somewhere"),
    }
    return every[kind]


@given(kinds=st.lists(ANSWERS, max_size=60), size=st.integers(1, 7), count=st.integers(1, 30))
def test_each_event_leaves_once_and_in_order(kinds: list[str], size: int, count: int) -> None:
    waiting = Waiting(Limits(batch_events=size), draw=lambda: 1.0)
    for number in range(count):
        waiting.add(event(number), now=0.0)
    now, left, refused = 0.0, 0, []
    for kind in [*kinds, *["taken"] * count]:
        due = waiting.due_in(now, hurry=True)
        if due is None:
            break
        now += due
        batch = waiting.batch()
        assert 1 <= len(batch) <= size
        assert [one.event_id for one in batch] == [f"e{number}" for number in range(left, left + len(batch))]
        before = len(waiting)
        refused += waiting.settle(batch, answer(kind, len(batch)), now=now)
        gone = before - len(waiting)
        left += gone
        assert gone in (0, len(batch))
        if kind == "busy":
            assert (waiting.due_in(now, hurry=True) or 0) >= 7.0
    assert left == count and len(waiting) == 0
    assert len({one.event_id for one, _ in refused}) == len(refused)


def test_a_batch_is_due_when_it_is_full_or_old() -> None:
    waiting = Waiting(Limits(batch_events=2, age_seconds=1.0))
    assert waiting.due_in(0.0) is None
    waiting.add(event(1), now=0.25)
    assert waiting.due_in(0.5) == 0.75
    assert waiting.due_in(0.5, hurry=True) == 0.0
    waiting.add(event(2), now=0.5)
    assert waiting.due_in(0.5) == 0.0


def test_a_full_buffer_says_so() -> None:
    waiting = Waiting(Limits(waiting=1))
    waiting.add(event(1), now=0)
    with pytest.raises(BufferFull, match="1 events"):
        waiting.add(event(2), now=0)
    assert [one.event_id for one in waiting.rest()] == ["e1"]


def test_a_body_that_is_refused_as_a_whole_is_halved_until_the_culprit_is_alone() -> None:
    waiting = Waiting(Limits(batch_events=4))
    for number in range(4):
        waiting.add(event(number), now=0)
    refused = []
    while batch := waiting.batch():
        bad = any(one.event_id == "e2" for one in batch)
        refused += waiting.settle(batch, BadRequest("NUL") if bad else Taken(accepted=len(batch)), now=0)
    assert [one.event_id for one, _ in refused] == ["e2"]
