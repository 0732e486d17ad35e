"""Health: reports whether the process is alive (`/healthz`, for everybody) and whether it can serve (`/readyz`).

`/readyz` and `/metrics` answer on the probe port, which strangers do not reach: a stranger must not learn what serves
and how much, nor let the server ask Redis.
"""

from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from graphstore.errors import reason
from serving.cache import champion
from serving.http_server import metrics_of
from serving.web import services
from serving.web.answers import json_response
from stream.config import LOOPBACK
from stream.probe import OK, Probe, start_probe


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while the process answers requests."""
    return json_response({"status": OK})


def ready() -> dict[str, str]:
    """Return the state of Redis and of the model: "ok", or what is missing."""
    try:
        version = champion(services.storefront().redis)
    except RedisError as error:
        return {"redis": reason(error), "model": "unknown"}
    return {"redis": OK, "model": OK if version else "nothing is published yet"}


def told() -> dict[str, str]:
    """Return the state of the slots file, when there is one: a broken one leaves the process ready, with the old slots.

    Rejected: not ready. One wrong line would take all web servers out of a load balancer at once.
    """
    book = services.slot_book()
    book.current()  # looks at the file, also where nobody asks for a list
    return {} if book.path is None else {"slots": book.problem or OK}


def start_health_probe(port: int, directory: str | None, *, host: str = LOOPBACK) -> Probe:
    """Answer on the probe port. With several processes, `directory` holds their counts. Raises `PortTaken`."""
    return start_probe(port, ready, host=host, metrics=metrics_of(directory), told=told)
