"""SASL and TLS, through every client that Sagestream has, against an Apache Kafka that asks for them."""

import contextlib
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka.errors import KafkaTimeoutError
from redis import Redis

from graphstore.redis import hot
from sagestream.playground.embedded import find_kafka
from stream import events
from stream.config import StreamConfig
from stream.kafka.producer import EventProducer
from stream.kafka.subscription import Subscription
from stream.kafka.topics import create_topics
from tests.brokers import NO_KAFKA
from tests.contracts.secure_broker import SecureBroker, secure_broker
from tests.databases import migrated_sqlite
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.kafka,
    # kafka-python leaves the sockets of refused connections to the collector.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]

WAIT_SECONDS = 180.0
TIME = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    home = find_kafka()
    if home is None:
        pytest.skip(NO_KAFKA)
    if not shutil.which("openssl"):
        pytest.skip("SASL and TLS were not tested: openssl makes their certificates")
    with secure_broker(tmp_path_factory.mktemp("secure"), home) as made:
        create_topics(config(made.with_password()))
        yield made


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a test leaves to the collector is collected within it."""
    yield
    gc.collect()


@pytest.fixture(params=["password", "password at localhost", "certificate"])
def settings(request: pytest.FixtureRequest, secure: SecureBroker) -> dict[str, str]:
    """Every way in."""
    if request.param == "certificate":
        return secure.with_certificate()
    return secure.with_password(host="localhost" if "localhost" in request.param else "127.0.0.1")


def config(settings: Mapping[str, str]) -> StreamConfig:
    names = {name.removeprefix("SAGESTREAM_").lower(): value for name, value in settings.items()}
    return StreamConfig.model_validate(names)


def viewed(user: str) -> events.Interaction:
    return events.Interaction(
        event_id=f"e-{user}", event_type=events.EventType.VIEW, user_id=user, item_id="i", event_time=TIME
    )


def worker(settings: Mapping[str, str], directory: Path, redis_url: str) -> "subprocess.Popen[bytes]":
    database = migrated_sqlite(directory / "graph.db")
    environment = {
        **os.environ,
        **settings,
        "SAGESTREAM_STATE_DIR": str(directory),
        "SAGESTREAM_DATABASE_URL": database,
        "SAGESTREAM_REDIS_URL": redis_url,
        "SAGESTREAM_WORKER_GROUP": directory.name,
        "SAGESTREAM_PROBE_PORT": "0",
    }
    with (directory / "log").open("wb") as log:
        command = [sys.executable, "-m", "sagestream", "worker"]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def refusal(settings: Mapping[str, str], reason: str) -> str:
    """The error of a producer that is not let in; a busy machine may take longer to be told why."""
    told = ""
    for bootstrap_seconds in (2, 8, 30):
        with pytest.raises(KafkaTimeoutError) as error:
            EventProducer(config(settings), bootstrap_seconds=bootstrap_seconds)
        told = str(error.value)
        if re.search(reason, told):
            break
    assert re.search(reason, told), told
    return told


def test_topics_producer_and_consumer_come_in(settings: dict[str, str]) -> None:
    stream = config(settings)
    assert create_topics(stream) == []
    before = time.time()
    with EventProducer(stream) as producer:
        producer.send(events.MODELS, viewed("u"), key=str(before))
    reader = Subscription(stream, events.MODELS, group=str(before), max_records=10)
    keys: list[bytes] = []
    with contextlib.closing(reader):
        while str(before).encode() not in keys:
            assert time.time() < before + WAIT_SECONDS, reader.state
            keys += [record.key for record in reader.poll(0.2)]


def test_the_worker_comes_in(settings: dict[str, str], tmp_path: Path, redis: Redis, redis_url: str) -> None:
    user = f"shopper of {tmp_path.name}"
    with EventProducer(config(settings)) as producer:
        producer.send(events.INTERACTIONS, viewed(user), key=user)
    process = worker(settings, tmp_path, redis_url)
    try:
        log = tmp_path / "log"
        wait_until(lambda: hot.seen(redis, user) == {"i"} or process.poll() is not None, told=log.read_text)
        assert process.poll() is None, log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_wrong_password_is_told(secure: SecureBroker, tmp_path: Path, redis_url: str) -> None:
    wrong = secure.with_password("sesame?")
    assert "sesame?" not in refusal(wrong, "Invalid username or password")
    process = worker(wrong, tmp_path, redis_url)
    assert process.wait(WAIT_SECONDS) != 0
    log = (tmp_path / "log").read_text()
    assert "Invalid username or password" in log
    assert "sesame?" not in log


def test_a_broker_that_nobody_vouches_for_is_told(secure: SecureBroker) -> None:
    unknown = secure.with_password()
    del unknown["SAGESTREAM_KAFKA_SSL_CAFILE"]
    refusal(unknown, "CERTIFICATE_VERIFY_FAILED")


def test_a_missing_certificate_is_told(secure: SecureBroker) -> None:
    nobody = secure.with_certificate()
    del nobody["SAGESTREAM_KAFKA_SSL_CERTFILE"], nobody["SAGESTREAM_KAFKA_SSL_KEYFILE"]
    refusal(nobody, "BAD_CERTIFICATE|CERTIFICATE_REQUIRED")
