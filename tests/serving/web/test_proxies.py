"""Behind a proxy that ends TLS: the host is answered, the page's clicks arrive, cookies are secure, addresses count."""

import http.client
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from serving.config import ServingConfig
from serving.web import services
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from serving.web.wsgi import application
from tests.serving.web.running import running
from tests.serving.web.test_views import Post

HOST = "shop.example"
FORWARDED = {"Host": HOST, "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


def visit_and_click(port: int, origin: str) -> tuple[str, int]:
    """The cookie that the page sets, and the status of a click on it."""
    proxy = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    proxy.request("GET", "/", headers=FORWARDED)
    page = proxy.getresponse()
    token = re.search(r'data-csrf="(\w+)"', page.read().decode())
    assert token, page.status
    cookie = page.headers["Set-Cookie"]
    headers = {**FORWARDED, "Origin": origin, "X-CSRFToken": token[1], "Cookie": cookie.split(";")[0]}
    click = {"event_type": "view", "user_id": "ann", "item_id": "apple"}
    proxy.request("POST", "/shop/events/", json.dumps(click), {**headers, "Content-Type": "application/json"})
    answer = proxy.getresponse()
    answer.read()
    proxy.close()
    return cookie, answer.status


@pytest.fixture
def post(web: Client, monkeypatch: pytest.MonkeyPatch) -> Post:
    made = Post()
    monkeypatch.setattr(services, "outbox", lambda: made)
    return made


@pytest.fixture
def configured(web: Client, settings: LazySettings) -> Callable[..., dict[str, Any]]:
    """Set what `serving.web.settings` derives from a configuration; what `serve` gives to uvicorn."""

    def configure(**fields: Any) -> dict[str, Any]:
        config = ServingConfig(shop_page=True, allowed_hosts=HOST, **fields)
        settings.SERVING = config
        settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS = config.hosts, config.origins
        return {"proxy_headers": bool(config.proxies), "forwarded_allow_ips": config.proxies}

    return configure


def gateway() -> Gateway:
    return Gateway(application, threads=2, rate=TokenBuckets(0))


def test_a_trusted_proxy_tells_the_scheme(post: Post, configured: Callable[..., dict[str, Any]]) -> None:
    with running(gateway(), **configured(trusted_proxies="127.0.0.1")) as port:
        cookie, status = visit_and_click(port, f"https://{HOST}")
    assert ("Secure" in cookie, status, len(post.letters)) == (True, 202, 1)


def test_without_a_trusted_proxy_the_click_still_arrives_from_the_allowed_host_alone(
    post: Post, configured: Callable[..., dict[str, Any]]
) -> None:
    with running(gateway(), **configured()) as port:
        cookie, status = visit_and_click(port, f"https://{HOST}")
        assert ("Secure" in cookie, status) == (False, 202)
        assert visit_and_click(port, "https://evil.example")[1] == 403
    assert len(post.letters) == 1
