"""An operator's errands are done, told, and done again after a kill."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis import Redis
from sqlalchemy import Engine, select

from graphstore.erase import list_erasures
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.redis import errands, hot
from graphstore.redis.connection import open_redis
from graphstore.session import open_engine, read, write
from graphstore.tables import interactions, retrain_requests
from monitoring import errands as running
from monitoring.dashboard.dead_letters import DeadLetterCounts
from monitoring.errands import MAX_ATTEMPTS, ErrandRunner
from sagestream.playground.embedded import Broker
from stream import events
from stream.config import StreamConfig
from stream.dlq.queue import Queue
from stream.events import DeadLetter, utc
from stream.kafka.producer import EventProducer
from tests.brokers import renew_topics, stream_config_of
from tests.waiting import wait_until

NOW = 1_767_600_000_000


def runner(engine: Engine, redis: Redis, stream: StreamConfig, tmp_path: Path) -> ErrandRunner:
    return ErrandRunner(engine, redis, stream, tmp_path / "snapshots", DeadLetterCounts(), clock=lambda: NOW)


def put(redis: Redis, kind: str, subject: str = "") -> str:
    return errands.ask(redis, kind, subject, who="admin", now=NOW - 5)


def told(redis: Redis, name: str) -> errands.State:
    found = errands.state(redis, name)
    assert found is not None
    return found


@pytest.fixture
def shop(engine: Engine, redis: Redis) -> Engine:
    """One shopper with two events."""
    rows = [InteractionRow(f"e{n}", 0, "anna", "i1", NOW - n) for n in range(2)]
    with write(engine) as connection:
        ingest_interactions(connection, rows, now=NOW)
    hot.record(redis, [("anna", "i1", NOW)], keep=10)
    return engine


def test_a_shopper_is_exported_and_then_forgotten(
    shop: Engine, redis: Redis, kafka_away: StreamConfig, tmp_path: Path
) -> None:
    exported, nobody, forgotten = (
        put(redis, "export", "anna"),
        put(redis, "export", "nobody"),
        put(redis, "forget", "anna"),
    )
    made = runner(shop, redis, kafka_away, tmp_path)
    assert [made.run_one(), made.run_one()] == [True, True]
    assert told(redis, exported).state == "done" and told(redis, exported).said.startswith("4 rows, ")
    content = errands.result(redis, exported)
    assert content is not None and [row["event_id"] for row in json.loads(content)["interactions"]] == ["e0", "e1"]
    assert (told(redis, nobody).state, told(redis, nobody).said) == ("failed", "no row names this shopper")
    assert made.run_one() and not made.run_one()
    done = told(redis, forgotten)
    assert done.state == "done" and done.subject == "" and done.said.startswith("forgotten: 1 ids, ")
    assert "Kafka was not reached" in done.said
    assert errands.result(redis, exported) is None, "the export of a forgotten shopper is gone"
    assert hot.recent(redis, "anna", 5) == []
    (erasure,) = list_erasures(shop)
    assert erasure.completed_at == NOW
    with read(shop) as connection:
        assert connection.execute(select(interactions)).all() == []


def test_a_retrain_is_asked_for_once_although_the_monitor_died_meanwhile(
    engine: Engine, redis: Redis, kafka_away: StreamConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put(redis, "retrain", "a new season")
    taken: list[bytes] = []
    monkeypatch.setattr(errands, "take_off", lambda _redis, raw: taken.append(raw))  # killed before
    runner(engine, redis, kafka_away, tmp_path).run_one()
    monkeypatch.undo()
    assert taken and errands.waiting(redis) == 1
    runner(engine, redis, kafka_away, tmp_path).run_one()
    with read(engine) as connection:
        (row,) = connection.execute(select(retrain_requests))
    assert (row.reason, row.requested_by, row.requested_at) == ("a new season", "admin", NOW - 5)
    assert told(redis, name).state == "done" and errands.waiting(redis) == 0


def letter(raw: bytes, error: str) -> DeadLetter:
    return DeadLetter(raw=raw, topic=events.INTERACTIONS, partition=0, offset=1, error=error, first_seen=utc(NOW))


def test_dead_letters_of_one_kind_are_sent_again(
    tansu: Broker, sqlite_engine: Engine, redis: Redis, tmp_path: Path
) -> None:
    renew_topics(tansu)
    config = stream_config_of(tansu)
    good = {"event_id": "e1", "event_type": "view", "user_id": "u", "item_id": "i", "event_time": utc(NOW).isoformat()}
    with EventProducer(config) as producer:
        for raw, error in ((json.dumps(good).encode(), "too early by 3 s"), (b"{", "bad"), (b"{", "too early by 9 s")):
            producer.send(events.DEAD_LETTERS, letter(raw, error), key="u")
    made = runner(sqlite_engine, redis, config, tmp_path)
    name = put(redis, "dlq_replay", f"{events.INTERACTIONS} too early by … s")
    made.run_one()
    assert told(redis, name).state == "done"
    assert told(redis, name).said == "1 sent, 1 invalid (1 Input data was truncated)"
    with Queue(config) as queue:
        assert queue.mark() == {0: 1}, "before the letter that was not chosen"
    everything = put(redis, "dlq_replay")
    made.run_one()
    assert told(redis, everything).said.startswith("2 invalid (")
    assert DeadLetterCounts().step(config, now=NOW).letters == 0


def test_kafka_that_is_away_does_not_hold_up_a_shopper_who_is_to_be_forgotten(
    sqlite_engine: Engine, redis: Redis, kafka_away: StreamConfig, tmp_path: Path
) -> None:
    replay, forgotten = put(redis, "dlq_replay"), put(redis, "forget", "anna")
    made = runner(sqlite_engine, redis, kafka_away, tmp_path)
    made.run_one()
    made.run_one()
    assert told(redis, replay).state == "failed" and "ask again when it answers" in told(redis, replay).said
    assert told(redis, forgotten).state == "done"


def test_a_database_that_is_away_makes_an_errand_wait(redis: Redis, kafka_away: StreamConfig, tmp_path: Path) -> None:
    empty = open_engine(f"sqlite:///{tmp_path / 'empty.db'}")  # no tables: every statement fails as when it is away
    name = put(redis, "retrain")
    made = runner(empty, redis, kafka_away, tmp_path)
    with pytest.raises(Exception, match="no such table"):
        made.run_one()
    assert told(redis, name).state == "waiting" and "no such table" in told(redis, name).said
    assert errands.waiting(redis) == 1
    empty.dispose()


def test_a_fault_ends_one_errand_and_no_other(
    sqlite_engine: Engine, redis: Redis, kafka_away: StreamConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("a defect")

    failed, kept = put(redis, "export", "anna"), put(redis, "retrain")
    monkeypatch.setattr(running, "export_person", broken)
    made = runner(sqlite_engine, redis, kafka_away, tmp_path)
    made.run_one()
    made.run_one()
    assert told(redis, failed).state == "failed" and "KeyError" in told(redis, failed).said
    assert told(redis, kept).state == "done"
    assert "a defect" in caplog.text
    assert REGISTRY.get_sample_value("sagestream_errands_total", {"kind": "export", "outcome": "failed"})


def test_an_errand_that_kills_the_monitor_again_and_again_fails(
    sqlite_engine: Engine, redis: Redis, kafka_away: StreamConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    name = put(redis, "export", "anna")
    monkeypatch.setattr(running, "export_person", kill)
    for attempt in range(MAX_ATTEMPTS):
        with pytest.raises(Killed):
            runner(sqlite_engine, redis, kafka_away, tmp_path).run_one()
        assert (told(redis, name).state, told(redis, name).attempts) == ("running", attempt + 1)
    runner(sqlite_engine, redis, kafka_away, tmp_path).run_one()
    assert told(redis, name).state == "failed" and "the monitor ended 3 times" in told(redis, name).said


def test_what_is_no_errand_is_dropped_aloud_and_the_thread_goes_on(
    sqlite_engine: Engine, redis: Redis, kafka_away: StreamConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    redis.rpush(errands.LIST, b"\xff")
    name = put(redis, "retrain")
    made = runner(sqlite_engine, redis, kafka_away, tmp_path)
    made.start()
    wait_until(lambda: told(redis, name).state == "done", seconds=30.0)
    made.close()
    assert "cannot be read and is dropped" in caplog.text
    assert errands.waiting(redis) == 0


def test_redis_that_is_away_is_told_once(
    sqlite_engine: Engine, kafka_away: StreamConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(running, "AWAY_SECONDS", 0.01)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        away = open_redis(f"redis://127.0.0.1:{probe.getsockname()[1]}/0", timeout_seconds=0.2)
        made = runner(sqlite_engine, away, kafka_away, tmp_path)
        made.start()
        wait_until(lambda: "errands wait" in caplog.text, seconds=30.0)
        made.close()
    assert len([record for record in caplog.records if "errands wait" in record.getMessage()]) == 1
