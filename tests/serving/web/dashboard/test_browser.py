"""The dashboard in a real browser: a telephone and a screen, light and dark, the keyboard, and figures that refresh."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from redis import Redis
from selenium.webdriver.common.keys import Keys

from serving.dashboard.blocks import Page
from serving.dashboard.catalogue import Entry, write_catalogue
from serving.dashboard.store import write_page
from serving.web.dashboard import pages
from serving.web.dashboard.tokens import link, signing_key
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from tests.serving.web.chromium import Browser, chromium
from tests.serving.web.dashboard.conftest import ADMIN_KEY
from tests.serving.web.dashboard.sample import overview, traffic
from tests.serving.web.running import running
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.service]


@pytest.fixture
def address(stranger: Client, redis: Redis) -> Iterator[str]:
    """The address of a web process with figures."""
    from serving.web.wsgi import application

    now = int(time.time() * 1000)
    for page in (overview(now=now), traffic(1000, now=now)):
        write_page(redis, page)
    write_catalogue(redis, [Entry("a" * 60, "Scarf " * 20, 1.0, True)], total=1, now=now)
    with running(Gateway(application, threads=4, rate=TokenBuckets(0.0))) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def browser(address: str, tmp_path: Path) -> Iterator[Browser]:
    """A browser that came by the link of a playground."""
    with chromium(tmp_path / "profile") as made:
        made.open(address + link(signing_key(ADMIN_KEY), now=int(time.time() * 1000)))
        wait_until(lambda: made.value("location.pathname") == "/dashboard/")
        yield made


def widest(browser: Browser) -> int:
    """By how many pixels the page is wider than the window."""
    return int(browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_in_a_browser(browser: Browser, address: str, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert browser.value("location.href") == f"{address}/dashboard/"

    # No page is wider than a telephone, and each is drawn, light and dark.
    grounds = set()
    for width, scheme in ((375, "dark"), (1440, "light")):
        browser.show(width, scheme=scheme)
        for path in ("", "traffic/", "traffic/table/0/", "models/", "shoppers/?user=ann", "catalogue/", "errands/"):
            browser.open(f"{address}/dashboard/{path}")
            assert widest(browser) <= 0, (path, width)
            assert browser.value("document.querySelector('h1').textContent.length") > 0
        grounds.add(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2

    # The keyboard: the first stop skips the menu.
    browser.open(f"{address}/dashboard/traffic/")
    browser.press(Keys.TAB)
    assert browser.value("document.activeElement.className") == "skip"
    assert browser.value("document.activeElement.getBoundingClientRect().left") >= 0

    # The arrow keys tell the figures of a chart, which come from the table behind it.
    browser.run("document.querySelector('.chart').focus()")
    browser.press(Keys.ARROW_LEFT)
    newest = "document.querySelector('.readout').textContent"
    wait_until(lambda: "all: " in (browser.value(newest) or ""))
    assert "b: " in browser.value(newest)

    # New figures come by themselves, what was opened stays open, and a pause is kept.
    monkeypatch.setattr(pages, "REFRESH_SECONDS", 1)
    browser.open(f"{address}/dashboard/traffic/")
    browser.run("document.querySelector('details').open = true")
    fresh = traffic(1000, now=int(time.time() * 1000) + 5)
    write_page(redis, Page(name="traffic", title="Fresh figures", made_at=fresh.made_at, blocks=fresh.blocks))
    wait_until(lambda: browser.value("document.querySelector('h1').textContent") == "Fresh figures")
    wait_until(lambda: browser.value("document.querySelector('details').open"))
    browser.click("[data-pause]")
    assert browser.value("document.querySelector('[data-pause]').getAttribute('aria-pressed')") == "true"

    assert browser.complaints == []  # of the Content-Security-Policy or of a script
