"""Dead letters counted step by step, on a real broker and alone."""

from datetime import UTC, datetime

import pytest

from monitoring.dashboard.dead_letters import (
    MAX_KINDS,
    MAX_PRODUCERS,
    OTHER_PRODUCERS,
    SAMPLE_CHARACTERS,
    DeadLetterCounts,
    Kind,
    chosen_by,
    masked,
    subject_of,
)
from sagestream.playground.embedded import Broker
from stream import events
from stream.dlq.queue import OTHER_REASONS, UNREADABLE, Filter, Queue
from stream.dlq.replay import replay
from stream.events import DeadLetter, milliseconds
from stream.kafka.producer import EventProducer
from tests.brokers import renew_topics, stream_config_of

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
MS = milliseconds(NOW)


def letter(error: str, *, raw: bytes = b"{}", topic: str = events.INTERACTIONS, offset: int = 1) -> DeadLetter:
    return DeadLetter(raw=raw, topic=topic, partition=0, offset=offset, error=error, first_seen=NOW)


def put(broker: Broker, *letters: DeadLetter, producer: str | None = None) -> None:
    with EventProducer(stream_config_of(broker), name=producer) as sender:
        for one in letters:
            sender.send(events.DEAD_LETTERS, one, key="k")


@pytest.fixture
def empty(tansu: Broker) -> Broker:
    renew_topics(tansu)
    return tansu


def test_letters_are_read_once_and_counted_by_topic_reason_and_producer(empty: Broker) -> None:
    config, counts = stream_config_of(empty), DeadLetterCounts()
    found = counts.step(config, now=MS)
    assert (found.kinds, found.letters, found.complete, found.counted_at) == ((), 0, True, MS)
    put(empty, letter("value 'a' is odd"), letter("value 'b' is odd", offset=2), producer="till")
    put(empty, letter("value 'c' is odd", topic=events.CATALOG), letter("other"))
    with EventProducer(config) as sender:
        sender.send_raw(events.DEAD_LETTERS, b"no letter", key=b"k")
    assert counts.step(config, now=MS, most=2).complete is False
    found = counts.step(config, now=MS)
    assert found.complete and found.letters == 5
    assert {(kind.topic, kind.reason): kind.letters for kind in found.kinds} == {
        (events.INTERACTIONS, "value … is odd"): 2,
        (events.INTERACTIONS, "other"): 1,
        (events.CATALOG, "value … is odd"): 1,
        ("", UNREADABLE): 1,
    }
    odd = found.kinds[0]
    assert dict(odd.producers) == {"till": 2} and odd.last_seen == MS and odd.replayable
    assert list(odd.samples) == ["interactions/0@1: {}", "interactions/0@2: {}"]
    assert found.since(MS) == 4 and found.since(MS + 1) == 0
    assert counts.step(config, now=MS).letters == 5, "nothing is counted twice"


def test_a_replay_of_one_kind_leaves_the_others_and_a_replay_of_all_leaves_none(empty: Broker) -> None:
    config, counts = stream_config_of(empty), DeadLetterCounts()
    put(empty, letter("a"), letter("b"), letter("a"))
    counts.step(config, now=MS)
    for chosen, left in ((Filter(topic=events.INTERACTIONS, kind="a"), 1), (Filter(), 0)):
        with Queue(config) as queue, EventProducer(config) as producer:
            replay(queue, producer, now=NOW, chosen=chosen, all_letters=False)
        if chosen.kind:
            counts.handled(events.INTERACTIONS, "a", now=MS)
            assert counts.found.letters == left
        assert counts.step(config, now=MS).letters == left
    put(empty, letter("a"))
    assert counts.step(config, now=MS).letters == 1, "a new letter of a kind that was replayed"


def test_counts_are_bounded_whatever_comes(empty: Broker) -> None:
    config, counts = stream_config_of(empty), DeadLetterCounts()
    put(empty, *(letter("kind " + "abcdefghij"[n % 10] * (n // 10 + 1), offset=n) for n in range(MAX_KINDS + 30)))
    for n in range(MAX_PRODUCERS + 3):
        put(empty, letter("kind a"), producer=f"producer {n}")
    found = counts.step(config, now=MS)
    assert len(found.kinds) == MAX_KINDS + 1 and found.letters == MAX_KINDS + 30 + MAX_PRODUCERS + 3
    (others,) = [kind for kind in found.kinds if kind.reason == OTHER_REASONS]
    assert others.letters == 30 and not others.replayable
    (first,) = [kind for kind in found.kinds if kind.reason == "kind a"]
    assert len(first.producers) == MAX_PRODUCERS + 1 and first.producers[OTHER_PRODUCERS] == 4
    assert len(first.samples) == 3


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b'{"user_id": "anna", "item_id": "i1"}', '{"user_id": "\u2026", "item_id": "i1"}'),
        (b'{"anonymous_id":"a\\"b","x":1', '{"anonymous_id":"\u2026","x":1'),
        (b'{"email":"anna@example.org', '{"email":"\u2026'),
        (b"\xff\x00<script>", "\ufffd·<script>"),
    ],
)
def test_a_sample_names_no_shopper_and_is_printable(raw: bytes, shown: str) -> None:
    assert masked(raw) == shown


def test_a_long_message_is_cut() -> None:
    assert len(masked(b'{"a": "' + b"x" * 5000)) == SAMPLE_CHARACTERS


def test_the_subject_of_an_errand_names_the_kind() -> None:
    kind = Kind("interactions", "value … is odd")
    assert chosen_by(subject_of(kind)) == ("interactions", "value … is odd")
    assert chosen_by("") == ("", "")
