"""The producer: what does not arrive is told, at the latest when the program ends, and memory stays bounded.

Order, keys, and what the broker keeps of it: `tests/contracts/test_broker.py`.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from sagestream.playground.embedded import LOOPBACK, Broker, free_port, start_broker
from stream import events
from stream.config import StreamConfig
from stream.kafka import producer
from stream.kafka.clients import open_admin
from stream.kafka.producer import DeliveryError, EventProducer
from stream.kafka.topics import create_topics
from tests.brokers import stream_config_of
from tests.kills.broker_log import BrokerLog
from tests.waiting import wait_until

TIME = datetime(2026, 1, 1, tzinfo=UTC)
TOUCHED = events.UserTouched(user_id="u", event_time=TIME)

FORGETFUL = """
import sys
from stream.config import StreamConfig
from stream.kafka.producer import EventProducer
producer = EventProducer(StreamConfig(), linger_ms=10_000)
for number in range(3000):
    producer.send_raw("models", str(number).encode(), key=b"forgetful")
if "wait" in sys.argv:
    print("sent", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Broker]:
    """A broker that the test may stop."""
    made = start_broker(tmp_path / "broker", home=None)
    create_topics(stream_config_of(made))
    yield made
    made.child.stop()


@pytest.fixture
def threads_left() -> Callable[[], list[str]]:
    """What tells which of the threads that the test started live on; they end a moment after they are told to."""
    before = set(threading.enumerate())

    def left() -> list[str]:
        for thread in set(threading.enumerate()) - before:
            thread.join(30)
        return [thread.name for thread in set(threading.enumerate()) - before]

    return left


def narrow_topic(config: StreamConfig, name: str) -> str:
    """Create a topic that takes only small batches; it has a leader when this returns."""
    topic = NewTopic(name, num_partitions=1, replication_factor=1, topic_configs={"max.message.bytes": "500"})
    with contextlib.closing(open_admin(config)) as admin:
        admin.create_topics([topic])
        wait_until(lambda: all(row["error_code"] == 0 and row["partitions"] for row in admin.describe_topics([name])))
    return name


def test_a_producer_that_hears_nothing_of_a_topic_connects_anew(
    mortal: Broker, monkeypatch: pytest.MonkeyPatch, threads_left: Callable[[], list[str]]
) -> None:
    def deaf(*_: object, **__: object) -> None:
        raise KafkaTimeoutError("Failed to update metadata after 60.0 secs.")

    with EventProducer(stream_config_of(mortal)) as made:
        with monkeypatch.context() as patched:
            patched.setattr(KafkaProducer, "send", deaf)
            with pytest.raises(KafkaTimeoutError, match="metadata"):
                made.send(events.USERS_TOUCHED, TOUCHED, key="u")
        assert made.pending == 0
        made.send(events.USERS_TOUCHED, TOUCHED, key="u")
        made.flush()
        assert made.delivered == 1
    assert not threads_left()


def test_everything_acknowledged_is_counted(stream_config: StreamConfig) -> None:
    with EventProducer(stream_config) as made:
        futures = [made.send(events.USERS_TOUCHED, TOUCHED, key="u") for _ in range(50)]
        made.flush()
        assert (made.delivered, made.pending) == (50, 0)
    offsets = [future.get(1).offset for future in futures]
    assert offsets == list(range(offsets[0], offsets[0] + 50))


def test_a_broker_that_is_not_there_is_told() -> None:
    config = StreamConfig.model_validate(
        {"kafka_bootstrap_servers": f"{LOOPBACK}:{free_port()}", "producer_idempotent": False}
    )
    with pytest.raises(KafkaTimeoutError, match=r"bootstrap.*ECONNREFUSED"):
        EventProducer(config, bootstrap_seconds=3)


def test_what_a_broker_that_went_away_did_not_take_is_told(
    mortal: Broker, threads_left: Callable[[], list[str]]
) -> None:
    made = EventProducer(stream_config_of(mortal))
    mortal.child.stop()
    for _ in range(3):
        made.send(events.USERS_TOUCHED, TOUCHED, key="u")
    assert made.pending == 3
    with pytest.raises(DeliveryError, match="3 events not acknowledged"):
        made.close(timeout_seconds=0.5)
    assert not threads_left()


def test_what_the_broker_refuses_is_told_once(
    broker: Broker, stream_config: StreamConfig, threads_left: Callable[[], list[str]]
) -> None:
    if broker.kind != "kafka":
        pytest.skip("the embedded broker takes messages of any size")
    narrow = narrow_topic(stream_config, "narrow")
    with EventProducer(stream_config) as made:
        made.send_raw(narrow, b"x" * 1000, key=b"k")
        with pytest.raises(DeliveryError, match=r"1 events did not reach Kafka: .*MessageSizeTooLarge"):
            made.flush()
        # kafka-python fails everything after it: a new connection takes over
        made.send_raw(narrow, b"x", key=b"k")
        made.flush()
        assert (made.delivered, made.pending) == (1, 0)
    assert not threads_left()


def test_a_batch_that_the_broker_finds_too_large_is_split(broker: Broker, stream_config: StreamConfig) -> None:
    if broker.kind != "kafka":
        pytest.skip("the embedded broker takes messages of any size")
    narrow = narrow_topic(stream_config, "narrow-too")
    with EventProducer(stream_config) as made:
        for _ in range(20):
            made.send_raw(narrow, b"x" * 100, key=b"k")
        made.flush()
        assert (made.delivered, made.pending) == (20, 0)


def test_a_message_too_large_leaves_no_trace(stream_config: StreamConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no room either: one alone would fill the buffer."""
    monkeypatch.setattr(producer, "BUFFER_BYTES", 1_000_000)
    monkeypatch.setattr(producer, "BLOCK_SECONDS", 0.1)
    with EventProducer(stream_config) as made:
        for _ in range(2):
            with pytest.raises(MessageSizeTooLargeError):
                made.send_raw(events.USERS_TOUCHED, b"x" * 2_000_000, key=None)
            assert made.pending == 0


def test_a_full_buffer_waits_and_then_says_so(mortal: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "BUFFER_BYTES", 10_000)
    made = EventProducer(stream_config_of(mortal))
    for _ in range(100):  # with a broker there is always room again
        made.send_raw(events.USERS_TOUCHED, b"x" * 1000, key=None)
    made.flush()
    mortal.child.stop()
    monkeypatch.setattr(producer, "BLOCK_SECONDS", 0.2)
    with pytest.raises(KafkaTimeoutError, match="events have been waiting"):
        for _ in range(100):
            made.send_raw(events.USERS_TOUCHED, b"x" * 1000, key=None)
    assert made.pending < 20
    with pytest.raises(DeliveryError):
        made.close(timeout_seconds=0.1)


def test_a_program_that_forgets_to_flush_delivers_all_at_its_exit(broker: Broker, stream_config: StreamConfig) -> None:
    environment = {**os.environ, **broker.environment}
    subprocess.run([sys.executable, "-c", FORGETFUL], env=environment, check=True, timeout=60)
    log = BrokerLog(stream_config, [events.MODELS])
    found = [record.value for record in log.read() if record.key == b"forgetful"]
    log.close()
    assert found == [str(number).encode() for number in range(3000)]


@pytest.mark.kill
def test_what_is_lost_at_the_exit_is_said(mortal: Broker) -> None:
    environment = {**os.environ, **mortal.environment}
    soon = "import sys\nfrom stream.kafka import producer\nproducer.FLUSH_SECONDS = 0.5"
    short = FORGETFUL.replace("import sys", soon, 1)
    with subprocess.Popen(
        [sys.executable, "-c", short, "wait"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "sent\n"
        assert mortal.child.pid is not None
        os.kill(mortal.child.pid, signal.SIGKILL)
        _, said = process.communicate("\n", timeout=60)
    assert re.search(r"lost at the program's exit: [1-9]\d* events not acknowledged within 0\.5 s", said), said
