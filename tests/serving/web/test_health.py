from django.conf import LazySettings
from django.test import Client
from redis import Redis

from graphstore.config import GraphstoreConfig
from serving.web import services
from tests.serving.toy import MODEL


def test_ready_with_redis_and_a_model(web: Client) -> None:
    answer = web.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"redis": "ok", "model": "ok", "model_version": MODEL})


def test_alive_but_not_ready_before_the_first_model(web: Client, redis: Redis) -> None:
    redis.flushall()
    assert web.get("/readyz").status_code == 503
    assert "published" in web.get("/readyz").json()["model"]
    assert web.get("/healthz").status_code == 200


def test_alive_but_not_ready_without_redis(web: Client, settings: LazySettings) -> None:
    services.close()
    settings.GRAPHSTORE = GraphstoreConfig(redis_url="redis://127.0.0.1:1/0")
    assert web.get("/readyz").status_code == 503
    assert web.get("/healthz").status_code == 200
