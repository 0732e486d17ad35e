"""What the worker does with a batch, free of Faust: order of the steps, dead letters, waiting, stopping, giving up."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from prometheus_client import REGISTRY
from redis import Redis
from sqlalchemy import Engine, select
from sqlalchemy.exc import DataError, OperationalError

from graphstore import queries
from graphstore.redis import hot, item_store
from graphstore.session import read
from graphstore.tables import interactions, stream_progress, users
from stream import events
from stream.dlq.dead_letters import LATE
from stream.events import milliseconds, utc
from stream.kafka.batch_producer import Message
from stream.kafka.topics import PRODUCER_HEADER
from stream.worker import retry
from stream.worker.sink import Sink, Stored
from stream.worker.topic_status import TopicStatus
from stream.worker.worker import TOPICS, Worker, next_offsets

NOW = 1_767_600_000_000


def record(
    value: bytes | None,
    *,
    key: bytes | None = b"k",
    offset: int = 0,
    topic: str = "interactions",
    headers: Sequence[tuple[str, bytes]] = (),
) -> Any:
    return SimpleNamespace(
        topic=topic, partition=0, offset=offset, key=key, value=value, timestamp=NOW, headers=headers
    )


def view(number: int, user: str = "u", item: str = "i") -> bytes:
    return events.encode(
        events.Interaction(
            event_id=f"e{number}",
            event_type=events.EventType.VIEW,
            user_id=user,
            item_id=item,
            event_time=utc(NOW + number),
        )
    )


def views(first: int, count: int) -> list[Any]:
    return [record(view(number), offset=number, key=b"%d" % number) for number in range(first, first + count)]


def rubbish(first: int, count: int, producer: bytes | None = None) -> list[Any]:
    """Each of another key."""
    headers = [] if producer is None else [(PRODUCER_HEADER, producer)]
    return [record(b"{", offset=offset, key=b"%d" % offset, headers=headers) for offset in range(first, first + count)]


class Bench:
    """A worker over a real store, whose messages are kept."""

    def __init__(self, sink: Sink, share: float = 0.5, hold_seconds: float = 60.0) -> None:
        self.sent: list[Message] = []
        self.failures: list[Exception] = []
        self.standing = TopicStatus(TOPICS, lambda: NOW)
        self.worker = Worker(
            sink,
            self.deliver,
            lambda: NOW,
            standing=self.standing,
            dead_share=share,
            first_hold_seconds=hold_seconds,
        )

    async def deliver(self, messages: Sequence[Message]) -> None:
        if self.failures:
            raise self.failures.pop()
        self.sent += messages

    def run(self, name: str, records: list[Any]) -> bool:
        """Whether the batch came through; a topic that is held does not let it."""

        async def one() -> bool:
            task = asyncio.ensure_future(getattr(self.worker, name)(records))
            done, _ = await asyncio.wait([task], timeout=60 if not self.stops else 0.2)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return bool(done)

        return asyncio.run(one())

    stops = False

    def letters(self) -> list[events.DeadLetter]:
        return [
            events.decode(m.value, events.DeadLetter, now=utc(NOW)) for m in self.sent if m.topic == "interactions.dlq"
        ]

    def touched(self) -> dict[str, int]:
        told = [m for m in self.sent if m.topic == "users.touched"]
        found = [events.decode(m.value, events.UserTouched, now=utc(NOW)) for m in told]
        assert [m.key for m in told] == [event.user_id.encode() for event in found]
        return {event.user_id: milliseconds(event.event_time) for event in found}


@pytest.fixture
def sink(sqlite_engine: Engine, redis: Redis) -> Sink:
    return Sink(sqlite_engine, redis, recent_items=5, trending_items=5)


@pytest.fixture
def bench(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(retry, "RETRY_FIRST_SECONDS", 0.001)
    return Bench(sink)


def stored(engine: Engine) -> int:
    with read(engine) as connection:
        return queries.counts(connection)["interactions"]


def progress(engine: Engine) -> dict[str, int]:
    with read(engine) as connection:
        return {row.topic: row.next_offset for row in connection.execute(select(stream_progress))}


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_good_events_are_stored_and_bad_ones_told(bench: Bench, sqlite_engine: Engine) -> None:
    before = sample("sagestream_dead_letters_total", topic="interactions", reason="json")
    records = [record(view(1)), record(b"{", offset=1), record(None, offset=2), record(view(2), offset=3)]
    assert bench.run("on_interactions", records)
    assert stored(sqlite_engine) == 2
    assert [(letter.offset, letter.raw) for letter in bench.letters()] == [(1, b"{"), (2, b"")]
    assert bench.touched() == {"u": NOW + 2}
    assert progress(sqlite_engine) == {"interactions": 4}
    assert sample("sagestream_dead_letters_total", topic="interactions", reason="json") == before + 2


def test_a_batch_of_nothing_but_rubbish_is_through_too(bench: Bench, sqlite_engine: Engine) -> None:
    assert bench.run("on_interactions", rubbish(0, 20))
    assert len(bench.letters()) == 20
    assert progress(sqlite_engine) == {"interactions": 20}


def test_a_null_value_deletes_an_item_and_a_bad_key_is_told(bench: Bench, redis: Redis) -> None:
    tea = events.encode(events.CatalogItem(item_id="i1", title="Tea", event_time=utc(NOW - 5)))
    bench.run("on_catalog", [record(tea, topic="catalog"), record(None, key=b"i1", topic="catalog")])
    (item,) = item_store.get_items(redis, ["i1"])
    assert item is not None
    assert not item.available
    bench.run("on_catalog", [record(None, key=b"\xff", topic="catalog")])
    assert [letter.topic for letter in bench.letters()] == ["catalog"]


def test_attributes_are_kept_and_taken_away(bench: Bench, sqlite_engine: Engine) -> None:
    def attributes() -> str | None:
        with read(sqlite_engine) as connection:
            return connection.scalar(select(users.c.attributes).where(users.c.user_id == "u1"))

    told = events.UserAttributes(user_id="u1", attributes={"tier": "gold"}, event_time=utc(NOW - 5))
    assert bench.run("on_users", [record(events.encode(told), topic="users")])
    assert "gold" in str(attributes())
    assert bench.run("on_users", [record(None, key=b"u1", topic="users", offset=1)])
    assert "gold" not in str(attributes())
    assert bench.run("on_users", [record(b"{}", topic="users", offset=2)])
    assert [letter.topic for letter in bench.letters()] == ["users"]


def test_who_logs_in_is_announced(bench: Bench, redis: Redis) -> None:
    assert bench.run("on_interactions", [record(view(1, user="anonymous", item="i7"))])
    login = events.Identity(anonymous_id="anonymous", user_id="anna", event_time=utc(NOW + 9))
    assert bench.run(
        "on_identities", [record(events.encode(login), topic="identities"), record(b"[", topic="identities")]
    )
    assert bench.touched()["anna"] == NOW + 9
    assert hot.seen(redis, "anna") == {"i7"}
    assert [letter.topic for letter in bench.letters()] == ["identities"]


def test_late_events_become_dead_letters_and_erased_ones_are_only_counted(
    bench: Bench, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store(rows: Sequence[Any], **_: Any) -> Stored:
        return Stored(stored=1, erased=1, late=frozenset({"e2"}), touched={"u": NOW})

    monkeypatch.setattr(sink, "store_interactions", store)
    erased = sample("sagestream_events_total", topic="interactions", outcome="erased")
    late = sample("sagestream_dead_letters_total", topic="interactions", reason="late")
    records = [record(b"{"), *views(1, 3)]
    assert bench.run("on_interactions", records)
    assert [(letter.offset, letter.error) for letter in bench.letters()][1:] == [(2, LATE)]
    assert bench.letters()[1].raw == view(2)
    assert bench.touched() == {"u": NOW}
    assert sample("sagestream_events_total", topic="interactions", outcome="erased") == erased + 1
    assert sample("sagestream_dead_letters_total", topic="interactions", reason="late") == late + 1


def test_a_database_that_is_away_is_waited_for(bench: Bench, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    store, failures = sink.store_interactions, [OperationalError("s", {}, Exception("locked"))] * 3

    def sometimes(*args: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return store(*args, **named)

    monkeypatch.setattr(sink, "store_interactions", sometimes)
    assert bench.run("on_interactions", views(1, 1))
    assert not failures
    assert bench.touched() == {"u": NOW + 1}
    assert bench.standing.words()["interactions"] == "ok"


def test_a_broker_that_is_away_is_waited_for(bench: Bench) -> None:
    bench.failures = [KafkaTimeoutError()] * 2
    assert bench.run("on_interactions", views(1, 1))
    assert bench.touched() == {"u": NOW + 1}


def test_any_other_error_leaves_the_batch_unacknowledged(
    bench: Bench, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise TypeError("a fault of ours")

    monkeypatch.setattr(sink, "store_interactions", broken)
    with pytest.raises(TypeError, match="a fault of ours"):
        asyncio.run(bench.worker.on_interactions(views(1, 1)))
    assert bench.sent == []


@pytest.fixture
def poisoned(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Callable[[set[str]], None]:
    """A store that refuses some events, by item_id."""
    store = sink.store_interactions

    def arm(items: set[str]) -> None:
        def picky(rows: Sequence[Any], **named: Any) -> Any:
            if refused := items & {row.item_id for row in rows}:
                raise DataError("INSERT", {}, Exception(f"{min(refused)} is out of range"))
            return store(rows, **named)

        monkeypatch.setattr(sink, "store_interactions", picky)

    return arm


def test_an_event_that_the_store_refuses_becomes_a_dead_letter(
    bench: Bench, sqlite_engine: Engine, poisoned: Callable[[set[str]], None]
) -> None:
    poisoned({"bad1", "bad2"})
    records = views(0, 500)
    records[0] = record(b"{")
    records[123] = record(view(123, item="bad1"), offset=123)
    records[499] = record(view(499, item="bad2"), offset=499)
    assert bench.run("on_interactions", records)
    assert stored(sqlite_engine) == 497
    assert [letter.offset for letter in bench.letters()] == [0, 123, 499]
    assert bench.letters()[1].error == "the store refused it: (builtins.Exception) bad1 is out of range"
    assert bench.letters()[1].raw == view(123, item="bad1")
    assert progress(sqlite_engine) == {"interactions": 500}
    assert bench.touched() == {"u": NOW + 498}


def test_a_store_that_refuses_all_stops_the_topic(
    bench: Bench, sqlite_engine: Engine, poisoned: Callable[[set[str]], None]
) -> None:
    poisoned({"i"})
    bench.stops = True
    assert not bench.run("on_interactions", views(0, 500))
    assert bench.sent == []
    assert stored(sqlite_engine) == 0
    assert progress(sqlite_engine) == {}
    # It does not look further than that: the others are as bad.
    assert "51 % of the last 100 messages are bad" in bench.standing.words()["interactions"]
    assert "the store refused it" in bench.standing.words()["interactions"]


def test_too_much_rubbish_stops_the_topic_before_anything_is_done(bench: Bench, sqlite_engine: Engine) -> None:
    assert bench.run("on_interactions", views(0, 600) + rubbish(600, 400))
    bench.sent.clear()
    bench.stops = True
    # The window is the last 1,000: of these 400 were bad, and 270 good ones go out as 330 bad and 70 good ones come in.
    batch = views(1000, 70) + rubbish(1070, 330)
    assert not bench.run("on_interactions", batch)
    assert bench.sent == []
    assert stored(sqlite_engine) == 600
    assert progress(sqlite_engine) == {"interactions": 1000}
    word = bench.standing.words()["interactions"]
    assert word.startswith("50.1 % of the last 1,000 messages are bad, stopped at partition 0 offset 1170: Input data")
    assert sample("sagestream_worker_stopped", topic="interactions") == 1
    assert bench.standing.words()["impressions"] == "ok"


@pytest.mark.parametrize("how", ["undecodable", "refused", "late"])
def test_a_held_topic_goes_on_by_itself_and_loses_nothing(
    sink: Sink,
    sqlite_engine: Engine,
    poisoned: Callable[[set[str]], None],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    bench = Bench(sink, hold_seconds=0.05)
    stopped: list[str] = []
    stop = bench.standing.stop

    def note(topic: str, reason: str) -> None:
        stop(topic, reason)
        stopped.append(bench.standing.words()[topic])

    monkeypatch.setattr(bench.standing, "stop", note)
    attack = rubbish(0, 700) if how == "undecodable" else []
    if how == "refused":
        poisoned({"bad"})
        attack = [record(view(n, item="bad"), offset=n, key=b"%d" % n) for n in range(300)]
    elif how == "late":
        store = sink.store_interactions

        def late(rows: Sequence[Any], **named: Any) -> Stored:
            return Stored(late=frozenset(row.event_id for row in rows)) if len(rows) == 300 else store(rows, **named)

        monkeypatch.setattr(sink, "store_interactions", late)
        attack = views(0, 300)
    assert bench.run("on_interactions", attack)
    assert len(stopped) == 1
    assert "goes on by itself at 2026-01-05 08:00:00+00:00" in stopped[0]
    assert bench.run("on_interactions", views(1000, 500))
    assert len(stopped) == 1
    assert bench.standing.words()["interactions"] == "ok"
    assert sample("sagestream_worker_stopped", topic="interactions") == 0
    assert sorted(letter.offset for letter in bench.letters()) == list(range(len(attack)))
    assert stored(sqlite_engine) == 500
    assert progress(sqlite_engine)["interactions"] == 1500


def test_one_producer_cannot_stop_a_topic_whatever_its_keys(bench: Bench, sqlite_engine: Engine) -> None:
    assert bench.run("on_interactions", rubbish(0, 700, b"serve"))
    assert bench.run("on_interactions", [record(b"{", offset=offset) for offset in range(700, 1400)])  # one key
    assert bench.run("on_interactions", views(1400, 100))
    assert stored(sqlite_engine) == 100
    assert len(bench.letters()) == 1400


def test_a_topic_stops_for_late_events_too(bench: Bench, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    def store(rows: Sequence[Any], **_: Any) -> Stored:
        return Stored(late=frozenset(row.event_id for row in rows))

    monkeypatch.setattr(sink, "store_interactions", store)
    bench.stops = True
    assert not bench.run("on_interactions", views(0, 300))
    assert bench.sent == []
    assert LATE in bench.standing.words()["interactions"]


def test_a_share_of_one_never_stops(sink: Sink) -> None:
    bench = Bench(sink, share=1.0)
    assert bench.run("on_interactions", rubbish(0, 2000))
    assert len(bench.letters()) == 2000


def test_a_stopped_topic_says_so_again_and_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log: it is what an operator looks at who has no metrics."""
    monkeypatch.setattr("stream.worker.topic_hold.LOG_SECONDS", 0.01)
    bench.stops = True
    assert not bench.run("on_interactions", rubbish(0, 200))
    assert len([line for line in caplog.messages if ": 100 % of the last 100" in line]) > 2


def test_trending_waits_for_the_next_tick(bench: Bench, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: Any) -> None:
        raise OperationalError("s", {}, Exception("locked"))

    monkeypatch.setattr(sink, "refresh_trending", away)
    bench.worker.refresh_trending()
    monkeypatch.setattr(sink, "refresh_trending", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bench.worker.refresh_trending()


def test_offsets_behind_the_last_record_of_each_partition() -> None:
    records = [record(b"", offset=4), record(b"", offset=9), record(b"", offset=7, topic="catalog")]
    assert next_offsets(records) == {"interactions": {0: 10}, "catalog": {0: 8}}


def test_events_count_once_whatever_is_delivered_again(bench: Bench, sqlite_engine: Engine) -> None:
    duplicates = sample("sagestream_events_total", topic="interactions", outcome="duplicate")
    bench.run("on_interactions", views(0, 10))
    bench.run("on_interactions", views(5, 10))
    with read(sqlite_engine) as connection:
        assert len(connection.execute(select(interactions)).all()) == 15
    assert sample("sagestream_events_total", topic="interactions", outcome="duplicate") == duplicates + 5
