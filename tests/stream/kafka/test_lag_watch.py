"""The gauge of the lag follows what is measured."""

import threading

import pytest
from kafka.errors import KafkaError
from prometheus_client import REGISTRY
from sqlalchemy import Engine

from stream.config import StreamConfig
from stream.kafka import lag_watch
from stream.kafka.lag import PartitionLag
from stream.kafka.lag_watch import LagWatch
from tests.waiting import join_others, wait_until


def test_the_gauge_follows_and_a_remark_is_logged_once(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The log is all that an operator gets of a remark, or of a broker that does not answer.
    monkeypatch.setattr(lag_watch, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(lag_watch, "measure", _answers())
    before = set(threading.enumerate())
    watch = LagWatch(StreamConfig(), sqlite_engine, ["watched"])
    wait_until(lambda: _gauge() == 7.0)
    watch.close()
    assert not join_others(before)
    assert [line for line in caplog.messages if "watched" in line] == ["watched/0: of another log"]
    assert any("lag unknown" in line for line in caplog.messages)


def _gauge() -> float | None:
    return REGISTRY.get_sample_value("sagestream_lag_messages", {"topic": "watched", "partition": "0"})


def _answers() -> object:
    given = [
        [PartitionLag("watched", 0, 5, "of another log")],
        [PartitionLag("watched", 0, 6, "of another log")],
        None,
        [PartitionLag("watched", 0, 7)],
    ]

    def answer(*_: object, **__: object) -> list[PartitionLag]:
        now = given.pop(0) if len(given) > 1 else given[0]
        if now is None:
            raise KafkaError("the broker is away")
        return now

    return answer
