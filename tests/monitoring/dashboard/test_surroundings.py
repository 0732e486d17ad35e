"""What SQL does not know: processes, lag and dead letters, with everything there and with everything away."""

import threading

import pytest
from sqlalchemy import Engine

from monitoring.dashboard.dead_letters import DeadLetterCounts
from monitoring.dashboard.surroundings import TOPICS, SurroundingsWatch
from sagestream.playground.embedded import Broker, free_ports
from stream import events
from stream.config import PROBED_PROCESSES, StreamConfig
from stream.kafka.producer import EventProducer
from stream.probe import start_probe
from stream.worker import worker
from tests.brokers import renew_topics, stream_config_of
from tests.waiting import join_others, wait_until

NOW = 1_767_600_000_000


def watch(config: StreamConfig, engine: Engine, look_seconds: float = 30.0) -> SurroundingsWatch:
    return SurroundingsWatch(config, engine, DeadLetterCounts(), clock=lambda: NOW, look_seconds=look_seconds)


def test_what_is_there_is_told(tansu: Broker, sqlite_engine: Engine) -> None:
    renew_topics(tansu)
    config = stream_config_of(tansu).model_copy(update={"probe_port": free_ports(len(PROBED_PROCESSES))})
    worker = start_probe(config.probe_port_of("worker"), lambda: {"kafka": "ok"})
    scheduler = start_probe(config.probe_port_of("scheduler"), lambda: {"trainings": "the last three failed"})
    with EventProducer(config) as producer:
        for _ in range(3):
            producer.send_raw(events.CATALOG, b"x", key=b"k")
        producer.send_raw(events.DEAD_LETTERS, b"x", key=b"k")
    found = watch(config, sqlite_engine).look()
    worker.close()
    scheduler.close()
    assert {one.process: one.state for one in found.processes} == {
        **dict.fromkeys(PROBED_PROCESSES, "away"),
        "worker": "ready",
        "scheduler": "not ready",
    }
    assert sum(lag.behind for lag in found.lags if lag.topic == events.CATALOG) == 3
    assert found.kafka_problem == found.dead_letter_problem == ""
    assert found.dead_letters.letters == 1 and found.looked_at == NOW


def test_what_is_away_is_told_once_in_the_log_and_keeps_nothing_waiting(
    kafka_away: StreamConfig, sqlite_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    before = set(threading.enumerate())
    looking = watch(kafka_away, sqlite_engine, look_seconds=0.01)
    with caplog.at_level("WARNING", logger="monitoring"):
        looking.start()
        wait_until(lambda: bool(looking.found.dead_letter_problem), seconds=60.0)
        first = looking.found
        wait_until(lambda: looking.found is not first, seconds=60.0)
        looking.close()
    assert join_others(before) == [], "no thread of a consumer that could not start"
    assert first.kafka_problem and first.lags == ()
    assert {one.state for one in first.processes} == {"unknown"}, "port 0: any"
    told = [record.getMessage() for record in caplog.records if "knows nothing of Kafka" in record.getMessage()]
    assert len(told) == 2, "one for the lag, one for the dead letters, at the first look alone"


def test_the_topics_are_those_of_the_worker() -> None:
    assert set(TOPICS) == set(worker.TOPICS)
