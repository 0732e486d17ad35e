"""Probe: a small HTTP port with health, readiness and metrics, for processes without another HTTP server.

Arrives: the state of each service that the process needs. Leaves: `/healthz`, `/readyz` and `/metrics`, on the address
and the port that `stream.config.StreamConfig` gives the process.
Next: a supervisor, a health check, Prometheus.
"""

import errno
import json
import logging
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from graphstore.errors import PortTaken
from stream.config import LOOPBACK

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

OK = "ok"
FIRST_MODEL = "waiting for the first model"
READY = frozenset((OK, FIRST_MODEL))
"""The words of a process that does all that it can: a new shop has no model until there are enough events."""


class Probe:
    """The running server; `port` is the bound port."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server
        self.port: int = server.server_port
        self._thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="probe", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def start_probe(
    port: int,
    ready: Callable[[], dict[str, str]],
    *,
    host: str = LOOPBACK,
    metrics: Callable[[], bytes] = generate_latest,
    alive: Callable[[], str] = lambda: OK,
    told: Callable[[], dict[str, str]] = dict,
) -> Probe:
    """Serve on `port` (0: any free port). `ready` returns a word of `READY` for each service, or its problem.

    It must not block. `metrics` returns the metrics of this process, or of several. `alive` returns "ok", or why the
    process makes no progress (`stream.liveness`). `told` returns more words for `/readyz` that decide nothing. Raises
    `graphstore.errors.PortTaken`.
    """

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        status, kind, body = "200 OK", "application/json", b""
        if path == "/healthz":
            state = alive()
            if state != OK:
                status = "503 Service Unavailable"
            body = json.dumps({"status": state}).encode()
        elif path == "/readyz":
            needs = ready()
            if not READY.issuperset(needs.values()):
                status = "503 Service Unavailable"
            body = json.dumps(needs | told()).encode()
        elif path == "/metrics":
            kind, body = CONTENT_TYPE_LATEST, metrics()
        else:
            status, body = "404 Not Found", json.dumps({"detail": f"nothing at {path}"}).encode()
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    try:
        server = make_server(host, port, application, server_class=_Server, handler_class=_Handler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTaken(
            f"port {port} on {host} is taken: another process of this kind runs, or the setting of its port must be "
            "another one"
        ) from error
    return Probe(server)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = 10  # a silent client does not keep a thread for long

    def log_message(self, format: str, *args: Any) -> None:
        """Log at debug level only, because probes come every few seconds."""
        logger.debug(format, *args)
