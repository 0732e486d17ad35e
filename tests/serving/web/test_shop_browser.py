"""The trial shop in a real browser: a walk through it by mouse, by keyboard and on a telephone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from redis import Redis
from selenium.webdriver.common.keys import Keys

from serving.web import services, shop
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from stream.events import EventType, Impression, Seen
from tests.serving.web.chromium import Browser, chromium
from tests.serving.web.grocery import NearLine, fill_grocery
from tests.serving.web.running import running
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.service]

IDLE = "document.querySelector('main').getAttribute('aria-busy') === 'false'"
HOME = "[data-slot=home] .card"
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def post(web: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> NearLine:
    """Behind it each event leads to a new list at once."""
    redis.flushall()
    fill_grocery(redis)
    made = NearLine(redis)
    monkeypatch.setattr(services, "outbox", lambda: made)
    return made


@pytest.fixture
def address(post: NearLine) -> Iterator[str]:
    from serving.web.wsgi import application

    with running(Gateway(application, threads=4, rate=TokenBuckets(0.0))) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def browser(address: str, tmp_path: Path) -> Iterator[Browser]:
    """A screen on which ann shops."""
    with chromium(tmp_path / "profile") as made:
        made.show(1440)
        visit(made, f"{address}?user=ann")
        yield made


def visit(browser: Browser, url: str) -> None:
    browser.open("about:blank")  # an address that differs behind the # alone opens no page
    browser.open(url)
    wait_until(lambda: browser.value(IDLE))


def titles(browser: Browser, slot: str) -> list[str]:
    found: list[str] = browser.value(f"[...document.querySelectorAll('[data-slot={slot}] h3')].map((h) => h.innerText)")
    return found


def test_somebody_shops(browser: Browser, post: NearLine) -> None:
    # Home: every kind of list, no item twice, and what is in view is told.
    assert len(titles(browser, "home")) == 12
    for slot in ("trending", "best_sellers", "discover"):
        assert titles(browser, slot), slot
    shown = browser.value("[...document.querySelectorAll('.card h3 a')].map((a) => a.hash)")
    assert len(shown) == len(set(shown))
    listed = {letter.event.request_id: letter.event for letter in post.letters if isinstance(letter.event, Impression)}
    assert {event.slot for event in listed.values()} >= {"home", "trending", "best_sellers"}
    wait_until(lambda: any(isinstance(letter.event, Seen) for letter in post.letters))
    look = next(letter.event for letter in post.letters if isinstance(letter.event, Seen))
    assert look.user_id == "ann"
    assert look.request_id in listed

    # A click on a card opens the item, and names the list that led there.
    browser.click(f"{HOME}:nth-child(3) a")
    wait_until(lambda: browser.text("article h1") and len(post.events()) == 2)
    clicked, viewed = post.events()
    home = next(event for event in listed.values() if event.slot == "home")
    assert (clicked.event_type, clicked.request_id, clicked.position) == (EventType.CLICK, home.request_id, 2)
    assert (viewed.event_type, viewed.item_id, viewed.request_id) == (EventType.VIEW, clicked.item_id, home.request_id)
    assert clicked.event_id.startswith(shop.DEMO_PREFIX)
    wait_until(lambda: titles(browser, "similar") and titles(browser, "bought_together"))
    assert browser.value("document.activeElement.tagName") == "H1"  # who reads by ear hears the new page
    wait_until(lambda: "your list changed" in browser.text("#change"))

    # The cart: one more, what goes with it, and an order of all its lines.
    browser.click("article .to-cart")
    browser.click("#cart-open")
    browser.click(".line button[aria-label^='One more']")
    wait_until(lambda: browser.text("#pieces") == "2")
    wait_until(lambda: titles(browser, "bought_together"))
    in_cart = browser.text(".line a.title")
    assert in_cart not in titles(browser, "bought_together") + titles(browser, "cart")
    browser.click("[data-slot=bought_together] .card:first-child .to-cart")
    wait_until(lambda: browser.value("document.querySelectorAll('.line').length") == 2)
    wait_until(lambda: browser.value(IDLE))
    browser.click(".order")
    wait_until(lambda: browser.text("h1") == "Thank you")
    bought = [event for event in post.events() if event.event_type == EventType.PURCHASE]
    bought.sort(key=lambda event: event.quantity or 0, reverse=True)  # all lines are sent at once
    assert [event.quantity for event in bought] == [2, 1]
    assert len({event.order_id for event in bought}) == 1
    assert bought[0].value is not None
    assert (bought[0].request_id, bought[0].position) == (home.request_id, 2)
    wait_until(lambda: browser.text("#pieces") == "0")

    # Why this item.
    wait_until(lambda: browser.value(IDLE))
    browser.click(".card .why")
    assert browser.text("#why-title").startswith("Why ")
    assert "source" in browser.text("#why-facts")
    browser.press(Keys.ESCAPE)
    wait_until(lambda: not browser.value("document.querySelector('#why').open"))

    # Somebody new, and somebody of whom nothing is stored.
    browser.click("#who-open")
    browser.click("#who-new")
    wait_until(
        lambda: browser.text(".greeting").startswith("Shopping as visitor-") or browser.text("h1") == "Thank you"
    )
    browser.click("a.brand")
    wait_until(lambda: browser.text(".greeting").startswith("Shopping as visitor-"))
    browser.click("#who-open")
    browser.click("#who-nobody")
    wait_until(lambda: "nothing is stored" in browser.text(".greeting") and browser.value(IDLE))
    told = len(post.letters)
    browser.click(f"{HOME}:first-child .to-cart")
    wait_until(lambda: "nothing of it is stored" in browser.text("#change"))
    assert len(post.letters) == told
    assert browser.complaints == []


def test_search_and_categories_by_keyboard(browser: Browser, post: NearLine) -> None:
    browser.press(Keys.TAB)
    assert browser.value("document.activeElement.className") == "skip"
    browser.press(Keys.ENTER)
    assert browser.value("document.activeElement.id") == "main"
    assert browser.value("location.hash") in ("", "#/")  # it is still the home page

    browser.write("#search", "apple")
    wait_until(lambda: sorted(titles(browser, "search")) == ["Apple juice", "Apples"])
    assert browser.text("h1") == "2 found for “apple”"
    browser.write("#search", "no such thing")
    wait_until(lambda: browser.text("h1").startswith("0 found"))

    browser.run("document.querySelector('.menu a').focus()")
    category = browser.value("document.activeElement.innerText")
    browser.press(Keys.ENTER)
    wait_until(lambda: browser.text("h1") == category and len(titles(browser, "category")) == 8)
    browser.run("document.querySelector('[data-slot=category] .card h3 a').focus()")
    browser.press(Keys.ENTER)
    wait_until(lambda: browser.text("article .category") == category)
    browser.driver.back()
    wait_until(lambda: browser.text("h1") == category)
    assert browser.complaints == []


def test_no_page_is_wider_than_a_telephone_and_each_is_drawn_light_and_dark(browser: Browser, address: str) -> None:
    grounds = set()
    cart = "JSON.stringify({'sku-100': {quantity: 2}, 'sku-117': {quantity: 1}})"
    browser.run(f"sessionStorage.setItem('cart of ann', {cart})")
    for width, scheme in ((375, "dark"), (1440, "light")):
        browser.show(width, scheme=scheme)
        for page in ("", "item/sku-100", "item/unknown", "category/DAIRY", "search/a", "cart", "order/1"):
            visit(browser, f"{address}?user=ann#/{page}")
            assert browser.value(WIDER) <= 0, (page, width)
            assert browser.text("h1"), page
            assert browser.text("#notice") == ""
        grounds.add(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2
    assert browser.complaints == []


def test_what_is_wrong_with_the_server_is_said(browser: Browser, post: NearLine) -> None:
    from serving.web.outbox import NotDelivered

    post.failure = NotDelivered("Kafka cannot be reached")
    browser.click(f"{HOME}:first-child .to-cart")
    wait_until(lambda: browser.text("#notice") == "Kafka cannot be reached.")
    browser.click("#cart-open")
    browser.click(".order")
    wait_until(lambda: browser.value("document.querySelector('.order').disabled") is False)
    assert browser.text("#pieces") == "1"  # the cart is kept
    post.failure = None
    browser.click(".order")
    wait_until(lambda: browser.text("h1") == "Thank you")
