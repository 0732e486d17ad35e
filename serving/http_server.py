"""HTTP server: what the processes that answer HTTP have in common: a listening socket, and uvicorn in one or several.

Arrives: an address, and uvicorn's configuration. Leaves: a server that runs until SIGTERM or SIGINT. Next:
`serving.web.server` and `serving.online.process`.
"""

import errno
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from uvicorn import Config, Server
from uvicorn.supervisors import Multiprocess

from graphstore.errors import PortTaken

BACKLOG = 512
METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


COMMON: Mapping[str, Any] = {
    "ws": "none",
    "loop": "asyncio",
    "lifespan": "on",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "backlog": BACKLOG,
}
"""uvicorn's settings of every server of ours: no web sockets, and no line in the log for a request."""


class LoggedConfig(Config):
    """uvicorn's configuration, with our own set-up of log and traces. Each spawned process gets it and calls it."""

    def __init__(self, application: str, *, begin: Callable[[], None], **settings: Any) -> None:
        self._begin = begin  # a function of a module, because it is pickled by its name
        super().__init__(application, **COMMON, **settings)

    def configure_logging(self) -> None:
        """Set up the log, without a line for each request."""
        super().configure_logging()
        self._begin()


def listen(host: str, port: int, *, setting: str = "SAGESTREAM_SERVE_PORT") -> socket.socket:
    """Return a listening socket. Raises `PortTaken`, which names the `setting`, or `OSError` if it cannot be bound.

    asyncio sends small packets at once (TCP_NODELAY) only on a socket that names its protocol. Without that, each
    answer waits 40 ms for the client's acknowledgement.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTaken(f"port {port} on {host} is taken: set {setting} to another") from error
    return listening


@contextmanager
def counted_together(processes: int) -> Iterator[str | None]:
    """Let several processes count in files of one directory, which the block gets; None for a single one.

    The processes must be spawned in the block: they read its name when they begin.
    """
    if processes == 1:
        yield None
        return
    directory = os.environ[METRICS_DIRECTORY] = tempfile.mkdtemp(prefix="sagestream-metrics-")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def metrics_of(directory: str | None) -> Callable[[], bytes]:
    """Return what writes the metrics of this process, or of all processes that count in the directory."""
    if directory is None:
        return generate_latest

    def all_metrics() -> bytes:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=directory)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    return all_metrics


def run(uvicorn: Config, listening: socket.socket) -> None:
    """Serve in this process, or in as many children as uvicorn has workers, which are started again when they end."""
    if uvicorn.workers > 1:
        Multiprocess(uvicorn, sockets=[listening]).run()
        return
    # After it has stopped, uvicorn raises its signal again, which must not kill the exit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    Server(uvicorn).run(sockets=[listening])
