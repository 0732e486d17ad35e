"""An ASGI application behind real sockets, in a thread of the test's process."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.waiting import wait_until

END_SECONDS = 90.0


@contextlib.contextmanager
def served(
    application: Any, protocol: type[HttpToolsProtocol], listening: socket.socket, **settings: Any
) -> Iterator[Server]:
    """Serve on the socket until the end of the block, and see that the server ends."""
    config = Config(
        application, http=protocol, ws="none", loop="asyncio", lifespan="on", log_config=None, access_log=False,
        **settings,
    )  # fmt: skip
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield server
    finally:
        server.should_exit = True
        thread.join(END_SECONDS)
        assert not thread.is_alive()
