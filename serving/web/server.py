"""Server: runs the web server, uvicorn with the bounds of `serving.web.connections`, and its probe port.

Arrives: configuration. Leaves: a listening server, until SIGTERM or SIGINT. Then the server answers the open requests
and sends the remaining events. Next: `serving.web.asgi`.
"""

import errno
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from uvicorn import Config, Server
from uvicorn.supervisors import Multiprocess

from graphstore.config import PREFIX
from graphstore.errors import PortTaken
from serving.config import ServingConfig
from serving.web.connections import BoundedProtocol
from stream.config import StreamConfig

logger = logging.getLogger(__name__)

APPLICATION = "serving.web.asgi:application"
BACKLOG = 512
OPEN_REQUESTS_SECONDS = 1
"""Time for open requests at the end. The outbox needs the rest of the ten seconds that a supervisor gives."""
SECRET_KEY = f"{PREFIX}SECRET_KEY"
METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


class LoggedConfig(Config):
    """uvicorn's configuration, with our own set-up of log and traces. Each spawned web process gets it and calls it."""

    def __init__(self, *args: Any, begin: Callable[[], None], **settings: Any) -> None:
        self._begin = begin  # a function of a module, because it is pickled by its name
        super().__init__(*args, **settings)

    def configure_logging(self) -> None:
        """Set up the log, without a line for each request."""
        super().configure_logging()
        self._begin()


def serve(
    config: ServingConfig, stream: StreamConfig, *, begin: Callable[[], None], application: str = APPLICATION
) -> None:
    """Serve until a stop signal. The web processes read their own settings from the environment.

    Each of them calls `begin`, which sets up its log and traces. A benchmark serves another `application` in the same
    way. Raises `PortTaken`.
    """
    listening = listen(config.serve_host, config.serve_port)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "serving.web.settings")
    if signs_alone := config.signing_secret is None:
        os.environ[SECRET_KEY] = secrets.token_urlsafe(48)  # all web processes of this start sign with it
    directory = None
    if config.serve_processes > 1:  # before anything counts: the processes count in files, which one of them reads
        directory = os.environ[METRICS_DIRECTORY] = tempfile.mkdtemp(prefix="sagestream-metrics-")
    from serving.web.health import start_health_probe

    probe = start_health_probe(stream.probe_port_of("serve"), directory, host=stream.probe_host)
    address = f"{config.serve_host}:{config.serve_port}"
    logger.info("serve: listening on %s, readiness and metrics on port %d", address, probe.port)
    uvicorn = LoggedConfig(
        application,
        host=config.serve_host,
        port=config.serve_port,
        workers=config.serve_processes,
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        begin=begin,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        proxy_headers=bool(config.proxies),
        forwarded_allow_ips=config.proxies,
        timeout_graceful_shutdown=OPEN_REQUESTS_SECONDS,
    )
    if signs_alone:  # the log is set up by now
        logger.warning("neither a secret key nor an API key is set: what is seen of older lists is refused from now on")
    try:
        if config.serve_processes > 1:
            Multiprocess(uvicorn, sockets=[listening]).run()
        else:
            _serve_here(uvicorn, listening)
    finally:
        probe.close()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


def _serve_here(uvicorn: Config, listening: socket.socket) -> None:
    """Serve in this process. After it has stopped, uvicorn raises its signal again, which must not kill the exit."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    Server(uvicorn).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises `PortTaken` when the port is in use, `OSError` when it cannot be bound.

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
        raise PortTaken(f"port {port} on {host} is taken: set SAGESTREAM_SERVE_PORT to another") from error
    return listening
