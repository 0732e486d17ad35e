"""Server: runs the web server, granian over WSGI. It took the least CPU per request of all measured servers.

Arrives: configuration. Leaves: a listening server, until SIGTERM or SIGINT. Then the server answers the open requests
and sends the remaining events. Next: `serving.web.wsgi`.
"""

import errno
import os
import socket

from granian import Granian
from granian.constants import Interfaces

from graphstore.errors import PortTaken
from serving.config import ServingConfig

WORKER_STOP_SECONDS = 8


def serve(config: ServingConfig) -> None:
    """Serve until a stop signal. The workers read their own settings from the environment.

    Raises `PortTaken`. Without this check, two servers could share one port without an error, because granian's workers
    use SO_REUSEPORT.
    """
    check_port(config.serve_host, config.serve_port)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "serving.web.settings")
    Granian(
        "serving.web.wsgi:application",
        address=config.serve_host,
        port=config.serve_port,
        interface=Interfaces.WSGI,
        workers=config.serve_processes,
        blocking_threads=config.serve_threads,
        respawn_failed_workers=True,
        workers_kill_timeout=WORKER_STOP_SECONDS,
        websockets=False,
    ).serve()


def check_port(host: str, port: int) -> None:
    """Check that the port is free. Raises `PortTaken` when it is in use, `OSError` when it cannot be bound."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortTaken(f"port {port} on {host} is taken: set SAGESTREAM_SERVE_PORT to another") from error
