"""The real server as a process of its own, with real Redis and a real broker."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from kafka import KafkaConsumer
from redis import Redis

from serving.web.server import PortTaken, check_port
from stream.config import StreamConfig
from stream.events import IMPRESSIONS
from stream.kafka.topics import connection_settings
from tests.serving.toy import fill_redis
from tests.waiting import wait_until

WAIT_SECONDS = 30
SERVE = "from serving.config import ServingConfig; from serving.web.server import serve; serve(ServingConfig())"


@dataclass
class Server:
    port: int
    process: "subprocess.Popen[str]"

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=WAIT_SECONDS) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    def answers(self) -> bool:
        try:
            return self.get("/healthz")[0] == 200
        except (URLError, ConnectionError):
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(redis: Redis, redis_url: str, stream_config: StreamConfig) -> Iterator[Server]:
    fill_redis(redis)
    port = free_port()
    environment = {
        **os.environ,
        "SAGESTREAM_SERVE_PORT": str(port),
        "SAGESTREAM_REDIS_URL": redis_url,
        "SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS": stream_config.kafka_bootstrap_servers,
        "SAGESTREAM_PRODUCER_IDEMPOTENT": str(stream_config.producer_idempotent).lower(),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=Path(__file__).parents[3],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    made = Server(port, process)
    try:
        wait_until(lambda: made.answers() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        yield made
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_list_is_served_and_its_impression_survives_sigterm(server: Server, stream_config: StreamConfig) -> None:
    request_ids = {
        json.loads(server.get(f"/recommendations/user%20{n}%2Fx/?slot=home")[1])["request_id"] for n in range(20)
    }
    server.process.send_signal(signal.SIGTERM)  # at once: the queue is not empty
    output, _ = server.process.communicate(timeout=WAIT_SECONDS)
    assert server.process.returncode == 0, output
    consumer = KafkaConsumer(
        IMPRESSIONS, auto_offset_reset="earliest", consumer_timeout_ms=500, **connection_settings(stream_config)
    )
    found = {}
    deadline = time.monotonic() + WAIT_SECONDS
    while not request_ids <= found.keys():
        for record in consumer:
            impression = json.loads(record.value)
            found[impression["request_id"]] = impression["user_id"]
        assert time.monotonic() < deadline, f"{len(request_ids - found.keys())} impressions were lost: {output}"
    consumer.close()
    assert {found[request_id] for request_id in request_ids} == {f"user {n}/x" for n in range(20)}


def test_files_ids_and_errors_as_a_browser_sees_them(server: Server) -> None:
    assert b"--sage" in server.get("/static/shop.css")[1]
    assert server.get("/static/../settings.py")[0] == 404
    assert server.get("/static/nothing.css")[0] == 404
    assert b"Recommended for you" in server.get("/")[1]
    assert json.loads(server.get("/recommendations/%C3%BC%0A/")[1])["user_id"] == "ü\n"
    assert server.get("/recommendations/%ff/")[0] in (200, 400)
    assert server.get("/recommendations/ann/?k=%ff")[0] == 400
    with pytest.raises(PortTaken, match="SAGESTREAM_SERVE_PORT"):
        check_port("127.0.0.1", server.port)


def test_a_free_port_is_free() -> None:
    check_port("127.0.0.1", free_port())
