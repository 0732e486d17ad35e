"""Both buffers with the real server, and with one that is away."""

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from serving.client import AsyncSagestream, Event, EventType, Limits, RefusedPart, Sagestream, Taken, Unavailable
from serving.client.buffer import AsyncEventBuffer, EventBuffer
from serving.client.retry import Retry
from serving.web.outbox import NotDelivered
from tests.serving.web.conftest import KEY
from tests.serving.web.test_views import Post
from tests.waiting import wait_until

SOON = Limits(batch_events=3, age_seconds=0.01, retry=Retry(first_seconds=0.01, most_seconds=0.02))
LATE = Limits(batch_events=3, age_seconds=600.0)


def event(number: int = 1, item_id: str = "apple") -> Event:
    return Event(event_id=f"e{number}", event_type=EventType.VIEW, user_id="ann", item_id=item_id)


def ids(post: Post) -> list[str]:
    return [letter.event.event_id for letter in post.letters]


def test_events_leave_when_there_are_enough_and_at_the_end(shop: Sagestream, post: Post) -> None:
    with shop.buffer(LATE) as buffer:
        for number in range(4):
            buffer.add(event(number))
        wait_until(lambda: len(buffer) == 1)
        assert ids(post) == ["e0", "e1", "e2"]
    assert ids(post) == ["e0", "e1", "e2", "e3"]
    with pytest.raises(RuntimeError, match="closed"):
        buffer.add(event())


def test_events_leave_when_they_are_old(shop: Sagestream, post: Post) -> None:
    buffer = shop.buffer(SOON)
    buffer.add(event())
    wait_until(lambda: ids(post) == ["e1"])
    assert buffer.flush()
    assert buffer.close() == []


def test_a_broker_that_was_away_gets_every_event_once(url: str, post: Post, caplog: pytest.LogCaptureFixture) -> None:
    post.failure = NotDelivered("no broker")
    with Sagestream(url, KEY, retry=Retry(tries=1)) as shop:
        buffer = shop.buffer(SOON)
        for number in range(5):
            buffer.add(event(number))
        wait_until(lambda: "events cannot be told" in caplog.text)
        assert not buffer.flush(timeout_seconds=0.05)
        post.failure = None
        wait_until(lambda: len(post.letters) == 5)
        assert ids(post) == [f"e{number}" for number in range(5)]
        assert buffer.close() == []
    assert caplog.text.count("events cannot be told") == 1  # once for each outage


def test_a_refused_event_is_named_and_holds_up_no_other(
    shop: Sagestream, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    refused = []
    with shop.buffer(SOON) as buffer:
        buffer.on_refused = lambda event, part: refused.append((event.event_id, part.field))
        buffer.add(event(1, item_id="x" * 129))
        buffer.add(event(2))
    assert (ids(post), refused, buffer.refused) == (["e2"], [("e1", "item_id")], 1)
    assert "1 events were refused" in caplog.text


def test_what_cannot_be_told_in_time_is_handed_back(caplog: pytest.LogCaptureFixture) -> None:
    def tell(events: Sequence[Event]) -> Taken:
        raise Unavailable("away", retry_after=600.0)

    caplog.set_level(logging.ERROR)
    buffer = EventBuffer(tell, SOON)
    buffer.add(event(1))
    assert [one.event_id for one in buffer.close(timeout_seconds=0.05)] == ["e1"]
    assert "1 events were not told" in caplog.text


def test_threads_share_a_buffer() -> None:
    got: list[str] = []

    def tell(events: Sequence[Event]) -> Taken:
        got.extend(one.event_id for one in events)
        return Taken(accepted=len(events))

    with EventBuffer(tell, Limits(batch_events=7, age_seconds=0.001)) as buffer:

        def add(start: int) -> None:
            for number in range(start, start + 100):
                buffer.add(event(number))

        threads = [threading.Thread(target=add, args=(start,)) for start in range(0, 400, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(got) == sorted(f"e{number}" for number in range(400))


def test_the_asynchronous_buffer_tells_the_same(url: str, post: Post) -> None:
    async def told() -> None:
        async with AsyncSagestream(url, KEY) as shop:
            async with shop.buffer(LATE) as buffer:
                assert await buffer.flush()  # nothing waits
                for number in range(4):
                    buffer.add(event(number))
                buffer.add(event(4, item_id="x" * 129))
            assert buffer.refused == 1 and len(buffer) == 0
            with pytest.raises(RuntimeError, match="closed"):
                buffer.add(event())

    asyncio.run(told())
    assert ids(post) == ["e0", "e1", "e2", "e3"]


def test_the_asynchronous_buffer_hands_back_what_it_cannot_tell_and_goes_on_after_an_outage() -> None:
    away, got = [True], []

    async def tell(events: Sequence[Event]) -> Taken:
        if away[0]:
            raise Unavailable("away")
        got.extend(one.event_id for one in events)
        return Taken(accepted=len(events))

    async def run() -> list[Event]:
        buffer = AsyncEventBuffer(tell, SOON)
        buffer.add(event(1))
        assert not await buffer.flush(timeout_seconds=0.05)
        away[0] = False
        assert await buffer.flush()
        assert got == ["e1"]
        away[0] = True
        buffer.add(event(2))
        return await buffer.close(timeout_seconds=0.05)

    assert [one.event_id for one in asyncio.run(run())] == ["e2"]


def test_neither_a_fault_nor_the_shops_own_code_ends_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Exception | Taken] = [
        RuntimeError("closed"),
        Taken(accepted=0, refused=[RefusedPart(index=0, field="item_id", reason="bad")]),
        Taken(accepted=1),
    ]

    def tell(events: Sequence[Event]) -> Taken:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fail(event: Event, part: RefusedPart) -> None:
        raise KeyError(event.event_id)

    with EventBuffer(tell, Limits(batch_events=1, retry=SOON.retry)) as buffer:
        buffer.on_refused = fail
        buffer.add(event(1))
        buffer.add(event(2))
        assert buffer.flush()
    assert answers == [] and "on_refused has failed" in caplog.text and "telling events has failed" in caplog.text


def test_an_event_that_cannot_be_written_is_refused_at_once() -> None:
    with EventBuffer(lambda events: Taken(accepted=len(events)), SOON) as buffer:
        with pytest.raises(UnicodeEncodeError):
            buffer.add(event(item_id="\ud800"))
        assert len(buffer) == 0


PROGRAM = """
import sys
from serving.client import Event, EventType, Sagestream
shop = Sagestream(sys.argv[1], sys.argv[2])
shop.buffer().add(Event(event_id="last", event_type=EventType.VIEW, user_id="ann", item_id="apple"))
"""


def test_a_program_that_ends_tells_what_waits(url: str, post: Post) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, url, KEY], check=True, timeout=60)
    assert ids(post) == ["last"]
