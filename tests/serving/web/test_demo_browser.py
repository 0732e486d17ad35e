"""The tag on a page of another origin, against the real API: from the first visit to an order of somebody known."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client
from pydantic import SecretStr
from redis import Redis

from serving.config import ServingConfig
from serving.web import services
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from stream.events import EventType, Identity, Impression, Seen
from tests.serving.web.chromium import Browser, chromium
from tests.serving.web.conftest import KEY
from tests.serving.web.grocery import NearLine, fill_grocery
from tests.serving.web.running import running
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.service]

CARDS = "document.querySelectorAll('[data-sagestream-slot=home] li').length"


@pytest.fixture
def post(web: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> NearLine:
    redis.flushall()
    fill_grocery(redis)
    made = NearLine(redis)
    monkeypatch.setattr(services, "outbox", lambda: made)
    return made


@pytest.fixture
def address(post: NearLine, settings: LazySettings) -> Iterator[str]:
    """The other shop, which the operator lets read lists and tell events."""
    from serving.web.wsgi import application

    with running(Gateway(application, threads=4, rate=TokenBuckets(0.0))) as port:
        settings.SERVING = ServingConfig(
            api_key=SecretStr(KEY),
            shop_page=True,
            cors_origins=f"http://localhost:{port}",
            track_events="view,click,cart,purchase",
        )
        yield f"http://localhost:{port}/demo/"


@pytest.fixture
def browser(address: str, tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path / "profile") as made:
        made.show(1440)
        made.open(address)
        wait_until(lambda: made.value(CARDS) == 8)
        yield made


def test_a_visitor_becomes_a_customer_of_another_shop(browser: Browser, post: NearLine) -> None:
    assert browser.value("document.querySelector('script[src*=tag]').src").startswith("http://127.0.0.1:")
    assert browser.text("#kept") == "nothing"  # nobody was asked yet
    assert post.letters == []

    browser.click("#yes")
    visitor = wait_until(lambda: browser.value("sagestream.visitor()"))
    wait_until(lambda: any(isinstance(letter.event, Seen) for letter in post.letters))
    listed = {letter.event.request_id: letter.event for letter in post.letters if isinstance(letter.event, Impression)}
    assert {event.user_id for event in listed.values()} == {visitor}
    assert not any(event.confirmed for event in listed.values())

    browser.click("[data-sagestream-slot=home] li:nth-child(2) a")  # a page of an item
    wait_until(lambda: {event.event_type for event in post.events()} >= {EventType.CLICK, EventType.VIEW})
    clicked = next(event for event in post.events() if event.event_type == EventType.CLICK)
    assert (listed[clicked.request_id or ""].slot, clicked.position, clicked.user_id) == ("home", 1, visitor)
    viewed = next(event for event in post.events() if event.event_type == EventType.VIEW)
    assert (viewed.item_id, viewed.request_id) == (clicked.item_id, clicked.request_id)  # by the data layer of GA4
    wait_until(
        lambda: browser.value("document.querySelectorAll('[data-sagestream-slot=bought_together] li').length") == 4
    )

    browser.click("#login")
    wait_until(
        lambda: any(isinstance(letter.event, Identity) for letter in post.letters),
        seconds=20,
        told=lambda: (browser.text("#sent"), browser.driver.get_log("browser")),
    )
    login = next(letter.event for letter in post.letters if isinstance(letter.event, Identity))
    assert (login.anonymous_id, login.user_id) == (visitor, "ann")
    browser.click("#order")
    wait_until(lambda: post.events()[-1].event_type == EventType.PURCHASE)
    bought = post.events()[-1]
    assert (bought.user_id, bought.item_id, bought.quantity) == ("ann", clicked.item_id, 1)
    assert browser.complaints == []


def test_who_says_no_leaves_no_trace(browser: Browser, post: NearLine, address: str) -> None:
    browser.click("#no")
    browser.click("[data-sagestream-slot=home] li:nth-child(2) button")
    browser.open(f"{address}?item=sku-100")
    wait_until(lambda: browser.value(CARDS) == 8)
    browser.click("#cart")
    browser.run("sagestream.refresh()")
    wait_until(lambda: '"event_type":"cart"' in browser.text("#sent"))
    assert browser.value("localStorage.length") == 0
    assert browser.value("document.cookie") == ""
    assert post.letters == []
    assert "127.0.0.1" in browser.text("aside")
    browser.show(375)
    assert browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert browser.complaints == []
