"""The real server as a process of its own, with real Redis and a real broker."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from psutil import Process
from redis import Redis

from graphstore.errors import PortTaken
from graphstore.session import open_engine
from sagestream.playground.embedded import Broker, free_port, free_ports
from serving import cache
from serving.exploration import propensities
from serving.http_server import listen
from serving.routing import Exploration
from stream.config import PROBED_PROCESSES, StreamConfig
from stream.events import IMPRESSIONS
from stream.kafka.clients import open_consumer
from tests.databases import migrated_sqlite
from tests.serving.process import started, wait_until_ready
from tests.serving.toy import MODEL, NAMES, fill_redis, register
from tests.serving.web.running import connected
from tests.serving.web.test_views import event
from tests.waiting import wait_until

WAIT_SECONDS = 90
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d\S* ?\S* (INFO|WARNING|ERROR) [\w.]+: ")
SERVE = "from sagestream.runners import run_serve; run_serve()"
KEY = "open sesame"


@dataclass
class Server:
    port: int
    probe_port: int
    process: "subprocess.Popen[str]"

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=WAIT_SECONDS) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
        request = Request(f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": "application/json", **headers})
        try:
            with urlopen(request, timeout=WAIT_SECONDS) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    def metrics(self) -> str:
        with urlopen(f"http://127.0.0.1:{self.probe_port}/metrics", timeout=WAIT_SECONDS) as answer:
            text: str = answer.read().decode()
        return text

    def answers(self) -> bool:
        try:
            return self.get("/healthz")[0] == 200
        except (URLError, ConnectionError):
            return False


@contextlib.contextmanager
def serving(redis_url: str, stream: StreamConfig, **settings: str) -> Iterator[Server]:
    port, probe_port = free_port(), free_ports(len(PROBED_PROCESSES))
    environment = {
        "SAGESTREAM_SERVE_PORT": str(port),
        "SAGESTREAM_PROBE_PORT": str(probe_port),
        "SAGESTREAM_REDIS_URL": redis_url,
        "SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS": stream.kafka_bootstrap_servers,
        "SAGESTREAM_PRODUCER_IDEMPOTENT": str(stream.producer_idempotent).lower(),
        "SAGESTREAM_API_KEY": KEY,
        "SAGESTREAM_ADMIN_KEY": KEY,
        "SAGESTREAM_SHOP_PAGE": "true",
        "HTTP_X_API_KEY": KEY,  # of the process, not of a request
        **settings,
    }
    with started(SERVE, environment) as process:
        made = Server(port, StreamConfig(probe_port=probe_port).probe_port_of("serve"), process)
        wait_until_ready(process, made.answers)
        yield made


@pytest.fixture
def server(redis: Redis, redis_url: str, stream_config: StreamConfig) -> Iterator[Server]:
    fill_redis(redis)
    with serving(redis_url, stream_config) as made:
        yield made


def test_a_list_is_served_and_its_impression_survives_sigterm(server: Server, stream_config: StreamConfig) -> None:
    request_ids = {
        json.loads(server.get(f"/recommendations/user%20{n}%2Fx/?slot=home")[1])["request_id"] for n in range(20)
    }
    server.process.send_signal(signal.SIGTERM)  # at once: the queue is not empty
    output, _ = server.process.communicate(timeout=WAIT_SECONDS)
    assert server.process.returncode == 0, output
    found = impressions_of(stream_config, request_ids)
    assert {one["user_id"] for one in found} == {f"user {n}/x" for n in range(20)}


def impressions_of(stream: StreamConfig, request_ids: set[str]) -> list[dict[str, Any]]:
    """The impressions of these lists, from the topic."""
    consumer = open_consumer(stream, IMPRESSIONS, auto_offset_reset="earliest", consumer_timeout_ms=500)
    found = {}
    deadline = time.monotonic() + WAIT_SECONDS
    while not request_ids <= found.keys():
        for record in consumer:
            impression = json.loads(record.value)
            found[impression["request_id"]] = impression
        assert time.monotonic() < deadline, f"{len(request_ids - found.keys())} impressions were lost"
    consumer.close()
    return [found[request_id] for request_id in request_ids]


def test_an_experiment_of_another_process_is_in_answers_and_impressions(
    server: Server, stream_config: StreamConfig, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    engine = open_engine(migrated_sqlite(tmp_path / "state" / "graph.db"))
    register(engine, MODEL)
    engine.dispose()
    redis.zadd(cache.WHOLE, {MODEL: "inf"})  # as the publisher notes it
    arms = ("--arm", "plain=0.5", "--arm", "wide=0.5,temperature=2")
    done = subprocess.run(
        [sys.executable, "-m", "sagestream", "experiments", "start", "try", *arms, "--slot", "home", "--json"],
        env={**os.environ, "SAGESTREAM_STATE_DIR": str(tmp_path / "state"), "SAGESTREAM_REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["served"]

    def served(user: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(server.get(f"/recommendations/{user}/?slot=home&k=3")[1])
        return told

    wait_until(lambda: served("u0")["variant"] != "champion")  # the server keeps its pointer for a second
    answers = {told["request_id"]: told for told in (served(f"u{n}") for n in range(40))}
    assert {told["variant"] for told in answers.values()} == {"try/plain", "try/wide"}
    server.process.send_signal(signal.SIGTERM)
    for logged in impressions_of(stream_config, set(answers)):
        told = answers[logged["request_id"]]
        assert logged["variant"] == told["variant"]
        shown = [(item["item_id"], item["propensity"]) for item in logged["items"]]
        assert shown == [(item["item_id"], item["propensity"]) for item in told["items"]]
        how = Exploration(temperature=2.0 if told["variant"] == "try/wide" else 0.0)
        choices = [NAMES.index(item) for item, _ in shown]
        assert [chance for _, chance in shown] == pytest.approx(
            propensities([5.0, 4.0, 3.0, 2.0, 1.0], 0, how, choices)
        )


def test_files_ids_and_errors_as_a_browser_sees_them(server: Server) -> None:
    assert b"--sage" in server.get("/static/shop.css")[1]
    assert server.get("/static/../settings.py")[0] == 404
    assert server.get("/static/nothing.css")[0] == 404
    assert b"Sagestream shop" in server.get("/")[1]
    assert json.loads(server.get("/recommendations/%C3%BC%0A/")[1])["user_id"] == "ü\n"
    assert server.get("/recommendations/%ff/")[0] in (200, 400)
    assert server.get("/recommendations/ann/?k=%ff")[0] == 400
    with pytest.raises(PortTaken, match="SAGESTREAM_SERVE_PORT"):
        listen("127.0.0.1", server.port)


def test_slow_clients_and_a_paused_broker_never_delay_lists(server: Server, broker: Broker) -> None:
    body = json.dumps(event()).encode()
    assert server.post("/events/", body)[0] == 401
    assert server.post("/events/", body, Authorization=f"Bearer {KEY}")[0] == 202
    large = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
    form = f"Cookie: csrftoken={'a' * 32}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    slow = f"POST /shop/events/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{form}Content-Length: 9\r\n\r\n{{"
    deaf = f"GET {large} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    assert broker.child.pid is not None
    os.kill(broker.child.pid, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(24) as writers:
            for _ in range(16):
                stack.enter_context(connected(server.port, slow.encode()))
                stack.enter_context(connected(server.port, deaf.encode(), receive_bytes=4096))
            posts = [writers.submit(server.post, "/events/", body, Authorization=f"Bearer {KEY}") for _ in range(24)]
            answered = 0
            while not all(post.done() for post in posts):
                for path in ("/recommendations/ann/?slot=home", "/healthz"):
                    assert server.get(path)[0] == 200
                    answered += not any(post.done() for post in posts)
            assert answered > 2  # readers had their answers before any writer
            assert {post.result()[0] for post in posts} == {503}
    finally:
        os.kill(broker.child.pid, signal.SIGCONT)
    wait_until(lambda: server.post("/events/", body, Authorization=f"Bearer {KEY}")[0] == 202)


def test_several_processes_tell_their_metrics_together_sign_alike_and_a_killed_one_is_replaced(
    redis: Redis, redis_url: str, kafka_away: StreamConfig
) -> None:
    fill_redis(redis)
    count = 'sagestream_http_seconds_count{route="recommendations",status="200"} '
    with serving(redis_url, kafka_away, SAGESTREAM_SERVE_PROCESSES="2", SAGESTREAM_API_KEY="") as server:
        lists = [server.get("/recommendations/ann/") for _ in range(40)]
        assert {status for status, _ in lists} == {200}
        assert f"{count}40.0" in server.metrics()
        looks = [
            json.dumps({"request_id": json.loads(body)["request_id"], "user_id": "ann", "positions": [0]}).encode()
            for _, body in lists[:16]
        ]
        with ThreadPoolExecutor(16) as pages:  # 503: it is signed, and Kafka is away
            assert {status for status, _ in pages.map(lambda look: server.post("/seen/", look), looks)} == {503}
        web = [child for child in Process(server.process.pid).children() if "spawn_main" in str(child.cmdline())]
        assert len(web) == 2
        web[0].kill()
        wait_until(lambda: len(set(Process(server.process.pid).children()) - {web[0]}) >= 3)
        wait_until(server.answers)
        assert server.post("/seen/", looks[0])[0] == 503
        server.process.send_signal(signal.SIGTERM)
        output, _ = server.process.communicate(timeout=WAIT_SECONDS)
    assert server.process.returncode == 0
    assert output.count("neither a secret key nor an API key is set") == 1
    assert all(LOG_LINE.match(line) for line in output.splitlines()), output


def test_a_small_answer_leaves_at_once() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
