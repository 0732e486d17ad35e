"""A server on a real socket that does to each connection what the test says."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

Handler = Callable[[socket.socket], None]


@contextlib.contextmanager
def scripted(handlers: Sequence[Handler]) -> Iterator[tuple[str, list[int]]]:
    """The server's URL, and the connections that it took. Connection i gets handler i, later ones the last."""
    taken: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                handler = handlers[min(len(taken), len(handlers) - 1)]
                taken.append(1)
                threading.Thread(target=serve, args=(handler, connection), daemon=True).start()

        def serve(handler: Handler, connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                handler(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", taken
        listening.shutdown(socket.SHUT_RDWR)
