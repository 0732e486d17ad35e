"""The dead letter queue on real brokers: read whole, counted, and sent again once."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaTimeoutError
from redis import Redis
from sqlalchemy import Engine

from graphstore import queries
from graphstore.session import read, write
from graphstore.state import raise_to
from graphstore.tables import COMPACTION_HORIZON
from stream import events
from stream.config import StreamConfig
from stream.dlq import queue, replay
from stream.dlq.dead_letters import LATE
from stream.dlq.queue import Filter, NoTopic, Queue, QueuedLetter, kind_of, summarise
from stream.dlq.replay import Verdict
from stream.events import DeadLetter, milliseconds
from stream.kafka.producer import EventProducer
from tests.stream.pump import Pump
from tests.waiting import join_others

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


def letter(value: bytes, error: str = "broken", topic: str = events.INTERACTIONS, seen: datetime = NOW) -> DeadLetter:
    return DeadLetter(raw=value, topic=topic, partition=0, offset=7, error=error, first_seen=seen)


def queued(offset: int, content: DeadLetter | None, key: bytes | None = b"u1") -> QueuedLetter:
    return QueuedLetter(0, offset, key, content)


@pytest.fixture
def shop(stream_config: StreamConfig, sqlite_engine: Engine, redis: Redis) -> Iterator[Pump]:
    made = Pump(stream_config, sqlite_engine, redis, now=NOW, group="shop")
    yield made
    made.close()


def look(config: StreamConfig, chosen: Filter | None = None, limit: int = 100) -> queue.Summary:
    with Queue(config) as queue:
        mark = queue.mark()
        return summarise(queue.letters(), mark=mark, chosen=chosen or Filter(), limit=limit, keep_bytes=1000)


def again(config: StreamConfig, now: datetime, *, send: bool = True, all_letters: bool = False, **chosen: Any) -> Any:
    """`dlq replay`."""
    with Queue(config) as queue:
        if not send:
            return replay.replay(queue, None, now=now, chosen=Filter(**chosen), all_letters=all_letters)
        with EventProducer(config) as producer:
            return replay.replay(queue, producer, now=now, chosen=Filter(**chosen), all_letters=all_letters)


def test_an_empty_queue_is_read_at_once(stream_config: StreamConfig) -> None:
    """The first test of the module: the topic is as it was created."""
    summary = look(stream_config)
    assert (summary.letters, summary.waiting, summary.newest) == (0, 0, [])
    done = again(stream_config, NOW)
    assert (done.verdicts, done.left_out) == ({}, 0)


def test_what_was_bad_and_is_good_now_is_stored_once(
    shop: Pump, stream_config: StreamConfig, sqlite_engine: Engine
) -> None:
    soon = NOW + timedelta(hours=2)
    early = raw(event_id="early", user_id="ü", event_time=soon.isoformat())
    shop.produce(
        (events.INTERACTIONS, "ü".encode(), early),
        (events.INTERACTIONS, b"u1", raw(event_id="good")),
        (events.INTERACTIONS, None, b"\xff\xfe"),
        (events.INTERACTIONS, b"u1", b""),
        (events.CATALOG, b"\xff", None),
        (events.CATALOG, b"i1", json.dumps({"item_id": "i1", "title": "Tea", "event_time": soon.isoformat()}).encode()),
        (events.INTERACTIONS, b"big", b"x" * (events.MAX_DEAD_LETTER_BYTES + 1)),
    )
    assert shop.take(7) == 7
    summary = look(stream_config)
    assert (summary.letters, summary.waiting) == (6, 6)
    assert {topic for topic, _ in summary.reasons} == {events.INTERACTIONS, events.CATALOG}
    assert sum(summary.reasons.values()) == 6
    kept = {one.key: one.letter.raw for one in map(_whole, read_all(stream_config)) if one.letter}
    assert kept["ü".encode()] == early

    # Nothing is good yet: all stays, nothing is sent, and the mark moves on.
    first = again(stream_config, NOW)
    assert first.verdicts == {Verdict.INVALID: 3, Verdict.EMPTY: 2, Verdict.CUT: 1}
    assert look(stream_config).waiting == 0
    assert again(stream_config, NOW).verdicts == {}

    # Two hours later the two that came too early are good.
    shop.now = soon
    looked = again(stream_config, soon, send=False, all_letters=True)
    assert looked.verdicts == {Verdict.SEND: 2, Verdict.INVALID: 1, Verdict.EMPTY: 2, Verdict.CUT: 1}
    assert looked.reasons[("invalid", "JSON is malformed: invalid character (byte …)")] == 1
    assert again(stream_config, soon, all_letters=True).verdicts == looked.verdicts
    assert shop.take(2) == 2
    again(stream_config, soon, all_letters=True)  # twice by mistake
    assert shop.take(2) == 2
    with read(sqlite_engine) as connection:
        counts = queries.counts(connection)
        (item,) = queries.items_by_id(connection, ["i1"])
        history = queries.user_history(connection, "ü", 10)
    assert counts["interactions"] == 2
    assert item.title == "Tea"
    assert [row[1] for row in history] == [milliseconds(soon)]
    assert look(stream_config).letters == 6  # nothing came back


def _whole(one: QueuedLetter) -> QueuedLetter:
    assert one.letter is not None
    return one


def read_all(config: StreamConfig) -> list[QueuedLetter]:
    with Queue(config) as queue:
        found = list(queue.letters())
        assert list(queue.letters()) == found  # a second look sees the same
        return found


def test_a_second_replay_takes_only_what_came_since(shop: Pump, stream_config: StreamConfig) -> None:
    again(stream_config, NOW)
    before = look(stream_config).letters
    early = NOW + timedelta(hours=2)
    for number in range(3):
        shop.produce((events.INTERACTIONS, b"u", raw(event_id=f"since{number}", event_time=early.isoformat())))
    assert shop.take(3) == 3
    summary = look(stream_config)
    assert (summary.letters, summary.waiting) == (before + 3, 3)
    assert again(stream_config, early, send=False).verdicts == {Verdict.SEND: 3}
    assert look(stream_config).waiting == 3  # a dry run moves nothing
    assert again(stream_config, early).verdicts == {Verdict.SEND: 3}
    assert again(stream_config, early).verdicts == {}
    shop.now = early
    assert shop.take(3) == 3
    assert look(stream_config).letters == before + 3


def test_letters_that_a_filter_leaves_out_are_still_to_be_taken(shop: Pump, stream_config: StreamConfig) -> None:
    again(stream_config, NOW)
    early = NOW + timedelta(hours=2)
    item = {"item_id": "i9", "event_time": early.isoformat()}
    shop.produce((events.CATALOG, b"i9", json.dumps(item).encode()))
    assert shop.take(1) == 1
    shop.produce((events.INTERACTIONS, b"u", raw(event_id="filtered", event_time=early.isoformat())))
    assert shop.take(1) == 1
    done = again(stream_config, early, topic=events.INTERACTIONS)
    assert (done.verdicts, done.left_out) == ({Verdict.SEND: 1}, 1)
    assert look(stream_config).waiting == 2
    assert again(stream_config, early, reason="in the FUTURE", topic=events.CATALOG).verdicts == {Verdict.SEND: 1}
    assert look(stream_config).waiting == 1
    assert again(stream_config, early).verdicts == {Verdict.SEND: 1}
    assert look(stream_config).waiting == 0
    shop.now = early
    assert shop.take(3) == 3


def test_what_came_too_late_is_not_sent_in_circles(
    shop: Pump, stream_config: StreamConfig, sqlite_engine: Engine
) -> None:
    again(stream_config, NOW)
    with write(sqlite_engine) as connection:
        raise_to(connection, COMPACTION_HORIZON, milliseconds(NOW))
    shop.produce((events.INTERACTIONS, b"u", raw(event_id="late")))
    assert shop.take(1) == 1
    assert again(stream_config, NOW, send=False).verdicts == {Verdict.LATE: 1}
    assert again(stream_config, NOW, send=False, reason=LATE).verdicts == {Verdict.SEND: 1}
    assert again(stream_config, NOW).verdicts == {Verdict.LATE: 1}


def test_many_letters_and_foreign_messages_are_all_read(shop: Pump, stream_config: StreamConfig) -> None:
    before = look(stream_config).letters
    content = [events.encode(letter(b"x" * 500, f"reason {n}")) for n in range(2500)]
    shop.produce(*[(events.DEAD_LETTERS, b"k", value) for value in content], (events.DEAD_LETTERS, None, b"what?"))
    summary = look(stream_config, limit=3)
    assert summary.letters == before + 2501
    assert summary.reasons[("", queue.UNREADABLE)] == 1
    assert len(summary.newest) == 3
    chosen = look(stream_config, Filter(reason="reason 1"))
    assert chosen.letters == len([n for n in range(2500) if str(n).startswith("1")])
    done = again(stream_config, NOW)
    assert done.verdicts[Verdict.FOREIGN] == 1


def test_a_mark_of_another_queue_hides_nothing(stream_config: StreamConfig) -> None:
    """The topic was created again: the mark of the old one is far beyond its end."""
    total = look(stream_config).letters
    with Queue(stream_config) as queue:
        end = queue.mark()[0]
        queue.remember({0: end + 1000})
    assert sum(again(stream_config, NOW).verdicts.values()) == total
    with Queue(stream_config) as queue:
        assert queue.mark() == {0: end}


def test_a_broker_without_the_topic_says_what_to_do(
    stream_config: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "DEAD_LETTERS", "nowhere.dlq")
    with pytest.raises(NoTopic, match="sagestream init"):
        Queue(stream_config)


def test_a_broker_that_does_not_tell_its_topics_leaves_no_client(
    stream_config: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(consumer: KafkaConsumer, topic: str) -> None:
        raise KafkaTimeoutError

    monkeypatch.setattr(KafkaConsumer, "partitions_for_topic", silent)
    before = threading.enumerate()
    with pytest.raises(KafkaTimeoutError):
        Queue(stream_config)
    assert not join_others(before)


def test_the_summary_counts_by_kind_of_reason_and_keeps_the_newest() -> None:
    letters = [
        queued(0, letter(b"a" * 100, "event_time 2027-01-01T00:00:00+00:00 is over 1:00:00 in the future")),
        queued(1, letter(b"b", "event_time 2028-02-02T00:00:00+00:00 is over 1:00:00 in the future")),
        queued(2, letter(b"c", "Invalid enum value 'stare' - at `$.event_type`", seen=NOW + timedelta(hours=1))),
        queued(3, None),
        queued(4, letter(b"d", "Invalid enum value 'gaze' - at `$.event_type`", topic="catalog")),
    ]
    summary = summarise(letters, mark={0: 3}, chosen=Filter(), limit=2, keep_bytes=10)
    assert (summary.letters, summary.waiting) == (5, 2)
    assert summary.reasons == {
        ("interactions", "event_time … is over … in the future"): 2,
        ("interactions", "Invalid enum value … - at `$.event_type`"): 1,
        ("catalog", "Invalid enum value … - at `$.event_type`"): 1,
        ("", queue.UNREADABLE): 1,
    }
    assert [one.offset for one in summary.newest] == [2, 4]
    by_kind = Filter(kind="Invalid enum value … - at")
    assert [one.offset for one in letters if by_kind.takes(one.letter)] == [2, 4]
    assert not Filter(kind="Invalid enum value 'stare'").takes(letters[2].letter)
    whole = summarise(letters, mark={}, chosen=Filter(), limit=10, keep_bytes=10)
    assert [one.letter.raw for one in whole.newest if one.letter and one.offset == 0] == [b"a" * 10]
    assert summarise(letters, mark={}, chosen=Filter(), limit=0, keep_bytes=10).newest == []


def test_a_summary_stays_small_whatever_the_queue_holds() -> None:
    letters = (queued(n, letter(b"x" * 1000, "y" * n)) for n in range(2000))
    summary = summarise(letters, mark={}, chosen=Filter(), limit=5, keep_bytes=10)
    assert len(summary.reasons) == queue.MAX_REASONS + 1
    assert summary.reasons[("", queue.OTHER_REASONS)] == 2000 - queue.MAX_REASONS


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        (Filter(), [True, True, True]),
        (Filter(topic="catalog"), [False, True, False]),
        (Filter(reason="BROKEN"), [True, False, False]),
        (Filter(since=NOW), [False, True, False]),
        (Filter(topic="catalog", reason="broken"), [False, False, False]),
    ],
)
def test_filters(chosen: Filter, taken: list[bool]) -> None:
    letters = (letter(b"a", seen=NOW - timedelta(seconds=1)), letter(b"b", "else", topic="catalog"), None)
    assert [chosen.takes(one) for one in letters] == taken


def test_a_reason_without_its_particulars() -> None:
    assert kind_of("70000 bytes, over the bound of 65536") == "… bytes, over the bound of …"
    for value in ("stare", "it's", 'say "a"', "both ' and \"", "back\\slash"):
        assert kind_of(f"Invalid enum value {value!r} - at `$.x`") == "Invalid enum value … - at `$.x`"
    assert kind_of("Expected `str`, got `int` - at `$.event_id`") == "Expected `str`, got `int` - at `$.event_id`"
