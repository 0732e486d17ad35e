"""Is the process alive, and can it serve.

`/healthz` says that it answers at all; `/readyz` names each thing that serving needs and what is wrong with it.
"""

from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from graphstore.errors import reason
from serving.cache import champion
from serving.web import services
from serving.web.answers import json_response

OK = "ok"


def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as requests are answered."""
    return json_response({"status": OK})


def readyz(request: HttpRequest) -> HttpResponse:
    """200 where Redis answers and a model is published, else 503."""
    try:
        version = champion(services.storefront().redis)
    except RedisError as error:
        return json_response({"redis": reason(error), "model": "unknown"}, 503)
    if version is None:
        return json_response({"redis": OK, "model": "nothing is published yet"}, 503)
    return json_response({"redis": OK, "model": OK, "model_version": version})
