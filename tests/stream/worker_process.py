"""The worker as it runs in production, in a process of its own, with its port asked and its log kept."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import psutil
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, func, select

from graphstore.session import open_engine, read
from graphstore.tables import interactions
from sagestream.playground.embedded import LOOPBACK, Broker, free_port
from tests.waiting import wait_until

SLOW = """
import sys, time
from stream.worker.sink import Sink
def slow(store):
    def stored(*args, **named):
        time.sleep(0.5)
        return store(*args, **named)
    return stored
for name in [name for name in vars(Sink) if name.startswith("store_")]:
    setattr(Sink, name, slow(getattr(Sink, name)))
from sagestream.cli import main
sys.argv = ["sagestream", "worker"]
main()
"""
"""The same, with a database that takes half a second a batch."""


class WorkerProcess:
    """A running worker. `log` is told in every failure."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        wait_until(condition, seconds=seconds, told=lambda: self.log.read_text()[-3000:])

    def ready(self) -> tuple[int, dict[str, str]]:
        """Status and words of /readyz; (0, {}) before the port answers."""
        try:
            with urlopen(f"http://{LOOPBACK}:{self.port}/readyz", timeout=60) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)
        except (URLError, ConnectionError, TimeoutError):  # while an answer is read, they come as they are
            return 0, {}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples that carry these labels."""
        with urlopen(f"http://{LOOPBACK}:{self.port}/metrics", timeout=60) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def memory_mb(self) -> float:
        """Resident memory."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    def stop(self, seconds: float = 60.0) -> int:
        """SIGTERM; the exit code. A worker that needs more than nine seconds for its end cuts itself off, with 1."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)


@contextmanager
def worker_process(
    broker: Broker,
    database_url: str,
    redis_url: str,
    log: Path,
    *,
    name: str = "worker",
    program: str | None = None,
    **settings: str,
) -> Iterator[WorkerProcess]:
    """Start it; killed at the end where it still runs. `settings` are SAGESTREAM_… in small letters."""
    port = free_port()
    given = {
        "STATE_DIR": str(log.parent / "state"),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "WORKER_ID": name,
        "WORKER_GROUP": f"group-{name}",
        "PROBE_PORT": str(port),
        **{key.upper(): value for key, value in settings.items()},
    }
    environment = {**os.environ, **broker.environment, **{f"SAGESTREAM_{key}": value for key, value in given.items()}}
    command = [sys.executable, "-c", program] if program else [sys.executable, "-m", "sagestream", "worker"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield WorkerProcess(process, port, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def stored(database_url: str) -> int:
    """Interactions in the database."""
    engine: Engine = open_engine(database_url)
    try:
        with read(engine) as connection:
            return int(connection.scalar(select(func.count()).select_from(interactions)) or 0)
    finally:
        engine.dispose()
