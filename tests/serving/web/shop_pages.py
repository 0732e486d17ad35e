"""A shop's own web server, and one that stands for Sagestream's: two origins, as the tag meets them."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serving.web.tag import script

LISTED: list[dict[str, Any]] = [
    {"item_id": "sku 1", "title": "<b>Bread</b>", "price": 2.5, "url": "/bread", "image_url": "/bread.png"},
    {"item_id": "sku-2", "title": "", "price": None, "url": "javascript:alert(1)", "image_url": "data:,x"},
    {"item_id": "sku-3", "title": "Cheese", "price": 1299.0, "url": "", "image_url": ""},
    {"item_id": "sku-4", "title": "Dates", "price": 3.0, "url": "https://other.example/dates", "image_url": ""},
]


class Answers(ThreadingHTTPServer):
    """Stands for Sagestream: hands out the tag, answers every question with the same items, and keeps what it gets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.cookies: list[str] = []
        self.status = 202
        """Of what is told. Lists are answered always."""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def at(self, path: str) -> list[dict[str, Any]]:
        """What was posted to the path."""
        return [body for to, body in self.got if to == path]

    def events(self) -> list[dict[str, Any]]:
        """The events that were told, each with its visitor."""
        return [
            {"user_id": body["user_id"], **event} for body in self.at("/track/") for event in body.get("events", [])
        ]

    def seen(self) -> list[int]:
        """The positions that were seen."""
        return [place for body in self.at("/seen/") for place in body["positions"]]


class _Answer(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/tag.js" else 404, script()[0], "text/javascript")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Content-Type"].startswith("text/plain")  # JSON would need the permission of another origin
        self.server.cookies += self.headers.get_all("Cookie", [])
        self.server.got.append((self.path, body))
        if self.path != "/recommendations/":
            return self._answer(self.server.status, b"{}", "application/json")
        user_id = body.get("user_id", "")
        lists = {
            asked["slot"]: {
                "request_id": f"{asked['slot']}.{user_id}",
                "user_id": user_id,
                "items": [
                    {**item, "position": position, "categories": ["Food", "Fresh"], "brand": "Toy"}
                    for position, item in enumerate(LISTED)
                ],
            }
            for asked in body["slots"]
            if asked["slot"] != "empty"
        }
        return self._answer(200, json.dumps({"lists": lists}).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Shop(ThreadingHTTPServer):
    """A shop whose Content-Security-Policy allows nothing but the tag's origin. `pages` has HTML by path."""

    daemon_threads = True

    def __init__(self, tag: str) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.tag = tag
        self.pages: dict[str, str] = {}
        self.policy = (
            f"default-src 'none'; script-src {tag}; connect-src {tag}; img-src 'self'; base-uri 'none'; "
            "require-trusted-types-for 'script'"
        )

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def page(self, path: str, body: str, *, consent: str, more: str = "") -> str:
        """Have a page with the tag in it; its address."""
        tag = f'<script src="{self.tag}/tag.js" data-consent="{consent}" {more} defer></script>'
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title>{tag}'
        self.pages[path] = f"{head}<main>{body}</main></html>"
        return f"{self.origin}{path}"


class _Page(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path)
        self.send_response(200 if page is not None or self.path.endswith((".png", ".ico")) else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Security-Policy", self.server.policy)
        self.end_headers()
        self.wfile.write((page or "").encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def two_origins() -> Iterator[tuple[Shop, Answers]]:
    """A shop and what it asks, both running."""
    answers = Answers()
    shop = Shop(answers.origin)
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in (answers, shop)]
    for thread in threads:
        thread.start()
    try:
        yield shop, answers
    finally:
        for server in (answers, shop):
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()
