"""The ranker as processes of its own, with a real model: it answers, is killed under load, comes back, and drains."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from psutil import NoSuchProcess, Process
from redis import Redis
from sqlalchemy import Engine

from graphstore.errors import PortTaken
from sagestream.playground.embedded import free_port, free_ports
from serving import cache
from serving.breaker import OPEN_SECONDS
from serving.config import ServingConfig
from serving.http_server import listen
from serving.online.client import RankerAway, RankerClient
from serving.online.process import run_ranker
from serving.online.protocol import RankAnswer, RankRequest, SessionEvent
from serving.ranker import bring_up_to_date, load_ranker
from serving.source import ShopSource
from stream.config import PROBED_PROCESSES, StreamConfig
from tests.serving.online.shop import VERSION, open_shop
from tests.serving.process import started, wait_until_ready
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.kill]

RANKER = "from sagestream.runners import run_ranker; run_ranker()"
TIMEOUT_MS = 500
SLACK_SECONDS = 20.0
"""What a busy machine may add."""
ANN = RankRequest(user_id="ann", k=3)


@dataclass
class Running:
    port: int
    probe_port: int
    process: "subprocess.Popen[str]"

    def readyz(self) -> dict[str, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.probe_port}/readyz", timeout=30) as answer:
                found: dict[str, str] = json.load(answer)
        except HTTPError as error:
            with error:
                found = json.load(error)
        except (URLError, ConnectionError):
            return {}
        return found

    def metric(self, name: str) -> float:
        with urlopen(f"http://127.0.0.1:{self.probe_port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return float(next((line.rpartition(" ")[2] for line in lines if line.startswith(name + " ")), "0"))


@contextlib.contextmanager
def running(engine: Engine, redis_url: str, port: int, **settings: str) -> Iterator[Running]:
    probe_port = free_ports(len(PROBED_PROCESSES))
    environment = {
        "SAGESTREAM_DATABASE_URL": str(engine.url),
        "SAGESTREAM_REDIS_URL": redis_url,
        "SAGESTREAM_RANKER_PORT": str(port),
        "SAGESTREAM_RANKER_TIMEOUT_MS": str(TIMEOUT_MS),
        "SAGESTREAM_PROBE_PORT": str(probe_port),
        **settings,
    }
    with started(RANKER, environment) as process:
        made = Running(port, StreamConfig(probe_port=probe_port).probe_port_of("ranker"), process)
        wait_until_ready(process, lambda: made.readyz().get("model") == "ok")
        yield made


class Asking:
    """A client that asks without pause, in a thread, as a web process does."""

    def __init__(self, port: int) -> None:
        self.answers: list[RankAnswer] = []
        self.reasons: list[str] = []
        self._client = RankerClient(f"http://127.0.0.1:{port}", timeout_ms=TIMEOUT_MS)
        self._stop = Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            try:
                self.answers.append(self._client.rank(ANN))
            except RankerAway as away:
                self.reasons.append(away.reason)

    def until_answered(self) -> None:
        known = len(self.answers)
        wait_until(lambda: len(self.answers) > known + 20)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()


def rank_once(port: int, request: RankRequest) -> list[int]:
    client = RankerClient(f"http://127.0.0.1:{port}", timeout_ms=60_000)
    try:
        return client.rank(request).item_keys
    finally:
        client.close()


def test_a_ranker_that_is_killed_under_load_is_away_for_its_readers_and_comes_back(
    sqlite_engine: Engine, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """Nothing is stored of a session, and the log does not name its items."""
    model = load_ranker(open_shop(sqlite_engine, tmp_path))
    redis.set(cache.CHAMPION, VERSION)
    source, keys = ShopSource(sqlite_engine), redis.keys("*")
    bring_up_to_date(model, source)
    right, _ = model.rank_one(source.histories_of(["ann"])["ann"], as_of=2**42, k=3)
    cheese = next(item.item_key for item in source.items() if item.item_id == "cheese")
    port = free_port()
    asking = Asking(port)
    try:
        with running(sqlite_engine, redis_url, port) as ranker:
            assert ranker.readyz() == {"model": "ok", "catalogue": "ok"}
            asking.until_answered()
            os.killpg(ranker.process.pid, signal.SIGKILL)
            known = len(asking.reasons)
            wait_until(lambda: len(asking.reasons) > known + 20)
        with running(sqlite_engine, redis_url, port) as ranker:
            known = len(asking.answers)
            wait_until(lambda: len(asking.answers) > known, seconds=OPEN_SECONDS + SLACK_SECONDS)
            asking.until_answered()
            assert ranker.metric("sagestream_ranker_seconds_count") > 20
            assert rank_once(port, RankRequest(k=1)) != [cheese]
            assert rank_once(port, RankRequest(k=1, session=(SessionEvent(item_id="cheese"),) * 3)) == [cheese]
            assert redis.keys("*") == keys
            ranker.process.terminate()
            output, _ = ranker.process.communicate(timeout=60)
            assert ranker.process.returncode == 0, output
            assert "Traceback" not in output
            assert "cheese" not in output
    finally:
        asking.close()
    assert {tuple(answer.item_keys) for answer in asking.answers} == {tuple(model.item_keys[right].tolist())}


def workers(parent: Process) -> list[Process]:
    """The rankers among the children that live."""
    found = []
    for child in parent.children():
        with contextlib.suppress(NoSuchProcess):  # a zombie is one
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


def test_several_processes_share_the_port_and_one_that_dies_is_replaced(
    sqlite_engine: Engine, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    open_shop(sqlite_engine, tmp_path)
    redis.set(cache.CHAMPION, VERSION)
    port = free_port()
    with running(sqlite_engine, redis_url, port, SAGESTREAM_RANKER_PROCESSES="2") as ranker:
        parent = Process(ranker.process.pid)
        children = workers(parent)
        assert len(children) == 2
        asking = Asking(port)
        try:
            asking.until_answered()
            children[0].kill()
            asking.until_answered()
            wait_until(lambda: len(workers(parent)) == 2)
            asking.until_answered()
            refused = {reason for reason in asking.reasons if "model" in reason or "catalogue" in reason}
        finally:
            asking.close()
        assert refused == set()  # the new one takes no connection before it can rank
        assert ranker.metric("sagestream_ranker_seconds_count") >= len(asking.answers) * 0.9
        ranker.process.terminate()
        assert ranker.process.wait(60) == 0


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match="set SAGESTREAM_RANKER_PORT to another"):
            run_ranker(ServingConfig(ranker_port=port), StreamConfig(probe_port=0), begin=lambda: None)
