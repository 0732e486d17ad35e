import pytest
from django.conf import LazySettings
from django.http import HttpResponse
from django.test import Client, RequestFactory
from prometheus_client import REGISTRY, generate_latest

from serving.config import ServingConfig
from serving.web import metrics


def test_answers_are_counted_by_route_and_status(web: Client) -> None:
    web.get("/recommendations/ann/")
    web.get("/recommendations/ann/?k=0")
    web.get("/nowhere/")
    text = generate_latest().decode()
    for labels in (
        'route="recommendations",status="200"',
        'route="recommendations",status="400"',
        'route="unmatched",status="404"',
    ):
        assert f"sagestream_http_seconds_count{{{labels}}}" in text
    assert "ann" not in text


def test_the_time_includes_the_wait_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.time, "perf_counter", lambda: 107.0)
    labels = {"route": "unmatched", "status": "418"}
    request = RequestFactory().get("/", **{metrics.ARRIVED: 100.0})
    metrics.measured(lambda _: HttpResponse(status=418))(request)
    assert REGISTRY.get_sample_value("sagestream_http_seconds_sum", labels) == 7.0


@pytest.mark.parametrize("path", ["/", "/api/docs/", "/api/schema/", "/nowhere/", "/recommendations/ann/"])
def test_no_page_may_be_framed(web: Client, path: str) -> None:
    answer = web.get(path)
    assert answer["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/", "/nowhere/", "/recommendations/ann/", "/users/ann/", "/users/ann/token/", "/items/1/"]
)
def test_no_cache_keeps_what_is_told_of_a_shopper(web: Client, key: dict[str, str], path: str) -> None:
    # A shared cache holds back what was asked for with `Authorization`. It does not know `X-API-Key`.
    shown = {"X-API-Key": key["Authorization"].removeprefix("Bearer ")}
    assert web.get(path, headers=shown)["Cache-Control"] == "no-store"


def test_over_tls_cookies_are_secure_and_browsers_are_told_to_stay(web: Client, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig(shop_page=True, hsts_seconds=60)
    plain, tls = web.get("/"), web.get("/", secure=True)
    assert (bool(plain.cookies["csrftoken"]["secure"]), bool(tls.cookies["csrftoken"]["secure"])) == (False, True)
    assert (plain.get("Strict-Transport-Security"), tls["Strict-Transport-Security"]) == (None, "max-age=60")
    settings.SERVING = ServingConfig(shop_page=True)
    assert "Strict-Transport-Security" not in web.get("/", secure=True)
