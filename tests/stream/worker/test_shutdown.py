"""SIGTERM ends the worker within ten seconds whatever it waits for, and loses nothing."""

import asyncio
import re
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import select

from graphstore.session import open_engine, read
from graphstore.tables import stream_progress
from sagestream.playground.embedded import Broker, start_redis
from stream import events
from stream.kafka.lag import measure
from stream.kafka.producer import EventProducer
from stream.kafka.record_batches import MAX_RECORDS
from stream.worker import shutdown
from tests.brokers import stream_config_of
from tests.databases import migrated_sqlite
from tests.stream.worker_process import SLOW, WorkerProcess, stored, worker_process

pytestmark = pytest.mark.kill


TIME = datetime(2026, 1, 5, 12, tzinfo=UTC)
SESSION_SECONDS = 7.0
"""Longer than the worker's session with the broker."""


@pytest.fixture(scope="module")
def broker(tansu: Broker) -> Broker:
    """The embedded one: how the worker ends is no matter of the broker's kind."""
    return tansu


@pytest.fixture
def url(tmp_path: Path) -> str:
    return migrated_sqlite(tmp_path / "graph.db")


def views(prefix: str, count: int) -> list[events.Interaction]:
    return [
        events.Interaction(
            event_id=f"{prefix}{number}",
            event_type=events.EventType.VIEW,
            user_id=f"u{number % 50}",
            item_id=f"i{number % 31}",
            event_time=TIME,
        )
        for number in range(count)
    ]


def produce(broker: Broker, prefix: str, count: int) -> None:
    with EventProducer(stream_config_of(broker)) as producer:
        for event in views(prefix, count):
            producer.send(events.INTERACTIONS, event, key=event.user_id)


def running(worker: WorkerProcess) -> bool:
    return worker.ready()[0] == 200


def test_what_is_stored_is_committed_and_the_rest_is_left(
    broker: Broker, url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    produce(broker, "a", 12_000)
    with worker_process(broker, url, redis_url, tmp_path / "log", name="slow", program=SLOW) as worker:
        worker.wait_for(lambda: stored(url) > 0)
        code = worker.stop()
    assert code == 0, worker.log.read_text()[-3000:]
    assert stored(url) < 12_000
    engine = open_engine(url)
    config = stream_config_of(broker, worker_group="group-slow")
    behind = sum(lag.behind for lag in measure(config, engine, [events.INTERACTIONS]))
    with read(engine) as connection:
        done = sum(row.next_offset for row in connection.execute(select(stream_progress)))
    engine.dispose()
    committed = 12_000 - behind
    # The batch in hand is waited for; on a slow machine it may come too late, and is delivered again.
    assert 0 < committed <= done <= committed + 4 * MAX_RECORDS


def test_while_the_database_does_not_answer(
    broker: Broker, url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    with worker_process(broker, url, redis_url, tmp_path / "log", name="locked") as worker:
        worker.wait_for(lambda: running(worker))
        # The wait for SQLite's lock is inside the driver, and the worker's thread with it.
        other = sqlite3.connect(tmp_path / "graph.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        produce(broker, "b", 100)
        worker.wait_for(lambda: "storing a batch for" in worker.ready()[1]["interactions"])
        code = worker.stop()
        other.close()
    assert code == 1, worker.log.read_text()[-3000:]
    assert "cut off 9 s after the signal" in worker.log.read_text()
    with worker_process(broker, url, redis_url, tmp_path / "log", name="locked") as worker:
        worker.wait_for(lambda: stored(url) >= 100)


def test_while_redis_is_away(broker: Broker, url: str, tmp_path: Path) -> None:
    redis_url, child = start_redis(tmp_path / "redis")
    with worker_process(broker, url, redis_url, tmp_path / "log", name="redis") as worker:
        worker.wait_for(lambda: running(worker))
        child.stop()
        produce(broker, "c", 100)
        worker.wait_for(lambda: worker.ready()[1]["interactions"].startswith("redis: waiting"))
        status, words = worker.ready()
        assert status == 503
        assert words["impressions"] == "ok"
        assert worker.metric("sagestream_worker_waiting", topic="interactions") == 1
        code = worker.stop()
    assert code == 0, worker.log.read_text()[-3000:]


def test_while_a_topic_is_stopped_for_its_bad_input(
    broker: Broker, url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    with worker_process(broker, url, redis_url, tmp_path / "log", name="bad") as worker:
        worker.wait_for(lambda: running(worker))
        with EventProducer(stream_config_of(broker)) as producer:
            for number in range(20_000):
                producer.send_raw(events.IMPRESSIONS, b"{", key=b"%d" % number)
        worker.wait_for(lambda: "messages are bad" in worker.ready()[1]["impressions"])
        status, words = worker.ready()
        assert status == 503
        assert "100 % of the last" in words["impressions"]
        assert worker.metric("sagestream_worker_stopped", topic="impressions") == 1
        # What had gone by before there was enough for a verdict.
        leaked = worker.metric("sagestream_dead_letters_total", topic="impressions", reason="json")
        assert leaked < 100
        # Other topics go on, for longer than a session.
        begun, count = time.monotonic(), 0
        while time.monotonic() - begun < SESSION_SECONDS:
            produce(broker, f"d{count}-", 100)
            count += 100
            worker.wait_for(lambda count=count: stored(url) >= count)  # type: ignore[misc]
        assert worker.ready()[1]["stream"] == "ok"
        worker.wait_for(lambda: worker.metric("sagestream_lag_messages", topic="impressions") == 20_000 - leaked)
        code = worker.stop()
    assert code == 0, worker.log.read_text()[-3000:]
    assert re.search("impressions is not consumed until .*: 100 %", worker.log.read_text())


BROKEN = """
import sys
from stream.worker.sink import Sink
def broken(self, *args, **named):
    raise TypeError("a fault of ours")
Sink.store_interactions = broken
from sagestream.cli import main
sys.argv = ["sagestream", "worker"]
main()
"""
LOSING = """
import sys
from stream.kafka import record_batches
class Losing(record_batches.RecordBatch):
    # The first record that was fetched never arrives.
    def __init__(self, tp, records, *, follows=None):
        super().__init__(tp, records[1:], follows=records[0].offset)
record_batches.RecordBatch = Losing
from sagestream.cli import main
sys.argv = ["sagestream", "worker"]
main()
"""


@pytest.mark.parametrize(("program", "said"), [(BROKEN, "a fault of ours"), (LOSING, "LostBatch")])
def test_a_crash_ends_the_process(
    program: str, said: str, broker: Broker, url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    produce(broker, said[:4], 500)
    name = f"crash-{said[:4].strip()}"
    with worker_process(broker, url, redis_url, tmp_path / "log", name=name, program=program) as worker:
        assert worker.process.wait(timeout=60) == 1
    assert said in worker.log.read_text()
    assert stored(url) == 0
    with worker_process(broker, url, redis_url, tmp_path / "log", name=name) as worker:
        worker.wait_for(lambda: stored(url) >= 500)


HANGING = """
import threading
from types import SimpleNamespace
from stream.worker import shutdown
shutdown.STOP_SECONDS = float("{seconds}")
class Hanging(shutdown.BoundedWorker):
    loop = SimpleNamespace(
        call_soon_threadsafe=lambda function: print("asked to stop", flush=True), call_later=lambda *_: None
    )
    def __init__(self): pass
Hanging().install_signal_handlers()
print("up", flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize(
    ("seconds", "again", "said"), [(60, True, b"at a second signal"), (0.1, False, b"0.1 s after")]
)
def test_a_second_signal_and_the_end_of_time_are_not_waited_out(seconds: float, again: bool, said: bytes) -> None:
    command = [sys.executable, "-c", HANGING.format(seconds=seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            process.send_signal(signal.SIGTERM)
            assert process.stdout.readline() == b"asked to stop\n"
            if again:
                process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 1
    assert said in told


def test_the_event_loop_beats_whatever_faust_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "BEAT_SECONDS", 0.001)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "set_wakeup_fd", lambda *_: None)
    worker = object.__new__(shutdown.BoundedWorker)  # without an app
    worker.loop = asyncio.new_event_loop()
    beats: list[None] = []

    def beat() -> None:
        beats.append(None)
        if len(beats) == 3:
            worker.loop.stop()

    worker.beat = beat
    worker.install_signal_handlers()
    worker.loop.run_forever()
    worker.loop.close()
    assert len(beats) == 3
