"""Web process: runs the product's web server with one of several applications, and measures its CPU time.

Arrives: the name of an application. Leaves: a running server on a free port. Next: `benchmarks.serving` asks it.

As a program (`python -m benchmarks.web_process APPLICATION`) it is that server: everything but the application is as in
`sagestream serve`.
"""

import logging
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.meters import cpu_seconds
from benchmarks.services import BenchmarkServices, environment, pid_of
from benchmarks.wrk import Load, run_wrk
from graphstore.logs import set_up_logging
from sagestream.playground.embedded import free_ports
from sagestream.playground.processes import Child
from serving.config import ServingConfig
from serving.web.server import APPLICATION, serve
from stream.config import StreamConfig

APPLICATIONS = {
    "bare": "benchmarks.bare:application",
    "hot": APPLICATION,
    "hot_filters": APPLICATION,
    "hot_rules": APPLICATION,
    "django": "benchmarks.django_path:application",
}
START_SECONDS = 60.0
OTHERS_SECONDS = 3.0
"""When one of several processes answers, the others need some time more."""


@dataclass(frozen=True)
class WebProcess:
    """A running server: its port, and its first process."""

    name: str
    port: int
    child: Child

    def load(
        self, query: str, *, shoppers: int, seconds: float, connections: int, pause_ms: float = 0.0
    ) -> tuple[Load, float]:
        """Run wrk. Return what it saw, and the CPU microseconds of the server for each request.

        Raises `RuntimeError` when an answer was not 200.
        """
        before = cpu_seconds(pid_of(self.child), family=True)
        load = run_wrk(self.port, query, shoppers=shoppers, seconds=seconds, connections=connections, pause_ms=pause_ms)
        used = cpu_seconds(pid_of(self.child), family=True) - before
        if load.errors or not load.requests:
            raise RuntimeError(f"{self.name}: {load.errors} of {load.requests} requests failed:\n{self.child.tail()}")
        return load, used / load.requests * 1e6


@contextmanager
def running_web(
    services: BenchmarkServices, name: str, settings: Mapping[str, object], *, processes: int = 1
) -> Iterator[WebProcess]:
    """Run the server with an application of `APPLICATIONS`, until the end of the block."""
    port = free_ports(2)
    own = {"redis_url": services.redis_url, "serve_port": port, "serve_processes": processes, "probe_port": port + 1}
    log = services.directory / f"{name}-{port}.log"
    command = [sys.executable, "-m", "benchmarks.web_process", APPLICATIONS[name]]
    child = Child(name, command, log, environment({**settings, **own}))
    child.start()
    child.wait_ready(lambda: _answers(port), START_SECONDS)
    if processes > 1:
        time.sleep(OTHERS_SECONDS)
    try:
        yield WebProcess(name, port, child)
    finally:
        child.stop()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/recommendations/u0/", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def begin() -> None:
    """Set up the log of a web process."""
    set_up_logging(logging.WARNING)


if __name__ == "__main__":
    set_up_logging(logging.WARNING)
    serve(ServingConfig(), StreamConfig(), begin=begin, application=sys.argv[1])
