"""Bridge: calls the WSGI application for a request of ASGI that was read whole, and sends its answer.

Arrives: a scope and a body. Leaves: an `Answer`, and its parts on the connection. Next: `serving.web.gateway`.
"""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from asgiref.typing import ASGISendCallable, HTTPScope

from graphstore.log_context import logged_with

logger = logging.getLogger(__name__)

FILE_BLOCK_BYTES = 64 * 1024

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class OpenFile(FileWrapper):
    """The body of a static file. It is read block by block, when the client has taken the block before."""


@dataclass(frozen=True)
class Answer:
    """A status, headers and the body."""

    status: int
    headers: Headers
    body: bytes | OpenFile


class _ErrorLog:
    """The stream for errors of the application, which go to the log."""

    def write(self, text: str) -> None:
        if text.strip():
            logger.error("%s", text.strip())

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        """Do nothing: a log is written at once."""


def environ_of(scope: HTTPScope) -> Environ:
    """Return the WSGI environment of a request, still without its body.

    It holds no variable of the process: a variable with the name `HTTP_X_API_KEY` would open every door.
    """
    server, client = scope["server"] or ("", None), scope["client"] or ("", 0)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": _ErrorLog(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": lambda file, block_bytes=FILE_BLOCK_BYTES: OpenFile(file, FILE_BLOCK_BYTES),
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if "_" in name or name in ("content-length", "transfer-encoding"):
            continue  # `x_api_key` would become the same variable as `x-api-key`; the length is that of the body read
        key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}"
        separator = "; " if name == "cookie" else ","
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value
    return environ


def with_body(environ: Environ, body: bytes) -> Environ:
    """Return the environment with the body that was read."""
    return {**environ, "CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}


def call(application: WsgiApplication, environ: Environ) -> Answer:
    """Call the application. Its answer is read whole, unless it is a file.

    The request gets an id, which stands in each log line of it and in the header `X-Request-ID` of its answer. It is
    not taken from the request: a client could make its lines look like those of another.
    """
    request_id = os.urandom(8).hex()
    with logged_with(request_id=request_id):
        answer = _call(application, environ)
    answer.headers.append(("X-Request-ID", request_id))
    return answer


def _call(application: WsgiApplication, environ: Environ) -> Answer:
    started: list[tuple[int, Headers]] = []

    def start_response(status: str, headers: Headers, exc_info: object = None) -> None:
        started[:] = [(int(status.split(" ", 1)[0]), headers)]

    result = application(environ, start_response)
    status, headers = started[0]
    if isinstance(result, OpenFile):
        return Answer(status, headers, result)
    try:
        return Answer(status, headers, b"".join(result))
    finally:
        if hasattr(result, "close"):
            result.close()


async def send_answer(answer: Answer, send: ASGISendCallable) -> None:
    """Send the answer. A client that reads slowly delays only this call."""
    headers = list(answer.headers)
    if isinstance(answer.body, bytes) and not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("Content-Length", str(len(answer.body))))
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "trailers": False,
        }
    )
    if isinstance(answer.body, bytes):
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})
        return
    try:
        for block in answer.body:
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        answer.body.filelike.close()
