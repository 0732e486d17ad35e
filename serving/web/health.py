"""Health: reports whether the process is alive (`/healthz`) and whether it can serve (`/readyz`).

`/healthz` always answers 200. `/readyz` lists each requirement of serving with its status.
"""

from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from graphstore.errors import reason
from serving.cache import champion
from serving.web import services
from serving.web.answers import json_response

OK = "ok"


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while the process answers requests."""
    return json_response({"status": OK})


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 when Redis is reachable and a model is published, otherwise 503."""
    try:
        version = champion(services.storefront().redis)
    except RedisError as error:
        return json_response({"redis": reason(error), "model": "unknown"}, 503)
    if version is None:
        return json_response({"redis": OK, "model": "nothing is published yet"}, 503)
    return json_response({"redis": OK, "model": OK, "model_version": version})
