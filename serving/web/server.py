"""Server: runs the web server, uvicorn with the bounds of `serving.web.connections`, and its probe port.

Arrives: configuration. Leaves: a listening server, until SIGTERM or SIGINT. Then the server answers the open requests
and sends the remaining events. Next: `serving.web.asgi`.
"""

import logging
import os
import secrets
from collections.abc import Callable

from graphstore.config import PREFIX
from serving.config import ServingConfig
from serving.http_server import LoggedConfig, counted_together, listen, run
from serving.slots.slot_book import SlotBook
from serving.web.connections import BoundedProtocol
from stream.config import StreamConfig

logger = logging.getLogger(__name__)

APPLICATION = "serving.web.asgi:application"
OPEN_REQUESTS_SECONDS = 1
"""Time for open requests at the end. The outbox needs the rest of the ten seconds that a supervisor gives."""
SECRET_KEY = f"{PREFIX}SECRET_KEY"


def serve(
    config: ServingConfig, stream: StreamConfig, *, begin: Callable[[], None], application: str = APPLICATION
) -> None:
    """Serve until a stop signal. The web processes read their own settings from the environment.

    Each of them calls `begin`, which sets up its log and traces. A benchmark serves another `application` in the same
    way. Raises `PortTaken` and `SlotsFileError`.
    """
    SlotBook.open(config)  # before anything is bound: a broken file stops the start, once and with one line
    listening = listen(config.serve_host, config.serve_port)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "serving.web.settings")
    if signs_alone := config.signing_secret is None:
        os.environ[SECRET_KEY] = secrets.token_urlsafe(48)  # all web processes of this start sign with it
    with counted_together(config.serve_processes) as directory:
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
            begin=begin,
            proxy_headers=bool(config.proxies),
            forwarded_allow_ips=config.proxies,
            timeout_graceful_shutdown=OPEN_REQUESTS_SECONDS,
        )
        if signs_alone:  # the log is set up by now
            logger.warning(
                "neither a secret key nor an API key is set: what is seen of older lists is refused from now on"
            )
        try:
            run(uvicorn, listening)
        finally:
            probe.close()
