"""A receiver of alarms in this process: what it got, and what it answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """`status` is what the next answers say; `slowly` sends the answer byte by byte and never ends it."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        self.slowly = False
        self.release = threading.Event()
        self.url = ""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of loopback, until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((self.path, dict(self.headers), body))
            while receiver.slowly and not receiver.release.wait(0.01):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return
            if not receiver.slowly:
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """The tests look at `got`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/alarms?token=x"
    try:
        yield receiver
    finally:
        receiver.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
