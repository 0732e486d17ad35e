"""The trial shop in a real browser: shopping by mouse, keyboard and telephone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from redis import Redis

from serving.web import services
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from tests.serving.web.chromium import Browser, chromium
from tests.serving.web.grocery import NearLine, fill_grocery
from tests.serving.web.running import running
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.service]


@pytest.fixture
def post(web: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> NearLine:
    redis.flushall()
    fill_grocery(redis)
    made = NearLine(redis)
    monkeypatch.setattr(services, "outbox", lambda: made)
    return made


@pytest.fixture
def browser(post: NearLine, tmp_path: Path) -> Iterator[Browser]:
    """A screen on which ann shops."""
    from serving.web.wsgi import application

    with (
        running(Gateway(application, threads=4, rate=TokenBuckets(0.0))) as port,
        chromium(tmp_path / "profile") as made,
    ):
        made.show(1440)
        made.open(f"http://127.0.0.1:{port}/?user=ann")
        yield made


def test_look(browser: Browser, post: NearLine) -> None:
    where = Path(os.environ["LOOK"])
    base = browser.driver.current_url.partition("?")[0]
    for width, scheme in ((1440, "light"), (1440, "dark"), (375, "light"), (375, "dark")):
        browser.show(width, scheme=scheme)
        for name, path in (("home", "#/"), ("item", "#/item/sku-100"), ("category", "#/category/DAIRY"), ("search", "#/search/apple"), ("cart", "#/cart")):
            browser.open(f"{base}?user=ann{path}")
            browser.run("sessionStorage.setItem('cart of ann', JSON.stringify({'sku-100': {quantity: 2}, 'sku-117': {quantity: 1}}))")
            browser.open("about:blank"); browser.open(f"{base}?user=ann{path}")
            wait_until(lambda: browser.value("document.querySelector('main').getAttribute('aria-busy')") == "false")
            print(name, width, browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth"), browser.text("#notice"))
            browser.picture(where / f"{name}-{width}-{scheme}.png")
    print(browser.complaints)
