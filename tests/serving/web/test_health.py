import json
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from django.conf import LazySettings
from django.test import Client
from redis import Redis

from graphstore.config import GraphstoreConfig
from serving.config import ServingConfig
from serving.slots import slot_book
from serving.web import health, services


@pytest.fixture
def probe(web: Client) -> Iterator[str]:
    made = health.start_health_probe(0, None)
    yield f"http://127.0.0.1:{made.port}"
    made.close()


def readyz(probe: str) -> tuple[int, dict[str, str]]:
    try:
        with urlopen(f"{probe}/readyz", timeout=5) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_ready_with_redis_and_a_model(probe: str) -> None:
    assert readyz(probe) == (200, {"redis": "ok", "model": "ok"})


def test_alive_but_not_ready_before_the_first_model(web: Client, probe: str, redis: Redis) -> None:
    redis.flushall()
    status, needs = readyz(probe)
    assert (status, needs["redis"]) == (503, "ok")
    assert "published" in needs["model"]
    assert web.get("/healthz").status_code == 200


def test_alive_but_not_ready_without_redis(web: Client, probe: str, settings: LazySettings) -> None:
    services.close()
    settings.GRAPHSTORE = GraphstoreConfig(redis_url="redis://127.0.0.1:1/0")
    assert readyz(probe)[0] == 503
    assert web.get("/healthz").status_code == 200


def test_a_broken_slots_file_is_told_and_takes_nobody_out_of_service(
    web: Client, probe: str, settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_book, "LOOK_SECONDS", 0.0)
    path = tmp_path / "slots.toml"
    path.write_text("[home]")
    services.close()
    settings.SERVING = ServingConfig(slots_file=path)
    assert readyz(probe) == (200, {"redis": "ok", "model": "ok", "slots": "ok"})
    path.write_text("[home]\nlength = 0")
    status, words = readyz(probe)
    assert (status, words["model"]) == (200, "ok")
    assert "[home] length" in words["slots"]
    assert web.get("/recommendations/ann/?slot=home").status_code == 200


def test_strangers_see_neither_readiness_nor_metrics(web: Client) -> None:
    assert [web.get(path).status_code for path in ("/readyz", "/metrics")] == [404, 404]
