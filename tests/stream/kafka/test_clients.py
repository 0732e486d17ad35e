"""A client that cannot connect leaves nothing behind, however often a service tries."""

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka.errors import KafkaError

from stream.config import StreamConfig
from stream.kafka.clients import open_admin, open_consumer, open_producer
from tests.waiting import join_others

OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("opened", [open_consumer, open_admin, open_producer])
def test_a_try_that_failed_leaves_no_thread_and_no_file(opened: Callable[..., object], deaf: str) -> None:
    config = StreamConfig(kafka_bootstrap_servers=deaf)
    threads = threading.enumerate()
    files = len(list(OPEN_FILES.iterdir()))
    gc.disable()  # a service collects seldom, and a collection would hide what is left
    try:
        for _ in range(3):
            with pytest.raises(KafkaError):
                opened(config, bootstrap_timeout_ms=200)
    finally:
        gc.enable()
    assert not join_others(threads)
    assert len(list(OPEN_FILES.iterdir())) <= files


def test_a_client_works_with_the_settings_of_its_caller(stream_config: StreamConfig) -> None:
    threads = threading.enumerate()
    consumer = open_consumer(stream_config, "interactions", group_id=None)
    assert consumer.subscription() == {"interactions"}
    assert consumer.config["group_id"] is None
    consumer.close()
    admin = open_admin(stream_config, request_timeout_ms=4321)
    assert "interactions" in admin.list_topics()
    assert admin.config["request_timeout_ms"] == 4321
    admin.close()
    assert not join_others(threads)
