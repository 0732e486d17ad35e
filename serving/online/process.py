"""Process: runs the ranker, uvicorn with the bounds of `serving.online.connections`, and its probe port.

Arrives: configuration. Leaves: a listening door, until SIGTERM or SIGINT. Then the open requests are answered. Next:
`serving.online.application`, in this process or in several that share the socket.
"""

import logging
import socket
import time
from collections.abc import Callable

import msgspec

from serving.config import ServingConfig
from serving.http_server import LoggedConfig, counted_together, listen, metrics_of, run
from serving.online.connection import Connection, DoorAddress, get
from serving.online.connections import IDLE_SECONDS, DoorProtocol
from serving.online.protocol import READY_PATH
from stream.config import LOOPBACK, StreamConfig
from stream.probe import OK, start_probe

logger = logging.getLogger(__name__)

OPEN_REQUESTS_SECONDS = 5
"""Time for open requests at the end."""
LOOK_SECONDS = 2.0
"""The door must answer its own process within this time."""
PROCESS = "ranker"


def run_ranker(config: ServingConfig, stream: StreamConfig, *, begin: Callable[[], None]) -> None:
    """Rank until a stop signal. Each of several processes reads its own settings from the environment.

    Each of them calls `begin`, which sets up its log. Raises `PortTaken`.
    """
    listening = listen(config.ranker_host, config.ranker_port, setting="SAGESTREAM_RANKER_PORT")
    door = _own(listening)
    with counted_together(config.ranker_processes) as directory:
        probe = start_probe(
            stream.probe_port_of(PROCESS),
            lambda: ask_door(door),
            host=stream.probe_host,
            metrics=metrics_of(directory),
            alive=lambda: ask_door(door).get("door", OK),
        )
        uvicorn = LoggedConfig(
            "serving.online.application:application",
            factory=True,
            host=config.ranker_host,
            port=config.ranker_port,
            workers=config.ranker_processes,
            http=DoorProtocol,
            begin=begin,
            date_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=OPEN_REQUESTS_SECONDS,
        )
        logger.info("ranker: listening on %s:%d, health on port %d", door.host, door.port, probe.port)
        try:
            run(uvicorn, listening)
        finally:
            probe.close()


def ask_door(door: DoorAddress) -> dict[str, str]:
    """Return what the door says of itself, or why it does not answer. Of several processes, one answers."""
    deadline = time.monotonic() + LOOK_SECONDS
    try:
        connection = Connection(door, deadline=deadline)
        try:
            answer = connection.exchange(get(door, READY_PATH), deadline=deadline)
        finally:
            connection.close()
        return msgspec.json.decode(answer.body, type=dict[str, str])
    except (OSError, msgspec.MsgspecError) as error:
        return {"door": f"it does not answer its own process: {error}"}


def _own(listening: socket.socket) -> DoorAddress:
    """Return the address under which this machine reaches the socket."""
    host, port = listening.getsockname()[:2]
    return DoorAddress({"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host), port)
