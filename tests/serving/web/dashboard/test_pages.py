"""The monitor's pages as the operator sees them."""

import re
import time

import pytest
from django.test import Client
from redis import Redis

from serving.dashboard.blocks import Page
from serving.dashboard.store import PAGES, PREFIX, write_page
from serving.web.dashboard import pages
from tests.serving.web.dashboard.sample import HOSTILE, overview, traffic

HTMX = {"HX-Request": "true"}


def now() -> int:
    return int(time.time() * 1000)


def text_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return str(answer.content.decode())


def plain(html: str) -> str:
    """The words of a page, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("\u202f", " ")


def test_every_block_says_its_value_its_window_and_its_n(operator: Client, redis: Redis) -> None:
    write_page(redis, overview(now=now() - 12_000))
    html = text_of(operator, "/dashboard/")
    words = plain(html)
    for part in (
        "the worker is behind", "4.25 %", "interval: 4.10 to 4.40 %", "the last day · n 12,345 impressions",
        "+0.3 points", "good", "nothing was sold", "4.00 % of shown", "n 500", "7.00 to 9.00 %", "no run yet",
        "12 s ago",
    ):  # fmt: skip
        assert part in words, part
    assert html.count('aria-label="not measured">–') == 2
    assert HOSTILE not in html
    assert "elsewhere.example" not in html  # figures name no other sites
    assert "/dashboard/errands/ask/?errand=dlq_replay&amp;subject=interactions%20a%20%26%20b" in html


def test_every_page_is_there_before_the_monitor_wrote_it(operator: Client) -> None:
    for name in PAGES:
        html = text_of(operator, f"/dashboard/{name}/")
        assert "has not written this page yet" in html
        assert html.count('aria-current="page"') == 1
    assert operator.get("/dashboard/nothing/").status_code == 404
    assert "no such page" in operator.get("/dashboard/a/b/c").content.decode()


def test_a_page_of_another_version_is_told(operator: Client, redis: Redis) -> None:
    for raw in (b'{"name": 1}', b"\xff", b"[" * 50):
        redis.set(f"{PREFIX}traffic", raw)
        assert "does not know" in text_of(operator, "/dashboard/traffic/")


def test_an_old_page_says_that_it_is_old(operator: Client, redis: Redis) -> None:
    write_page(redis, overview(now=now() - 3_600_000))
    html = text_of(operator, "/dashboard/")
    assert 'class="age old"' in html and "1\u202fh ago" in html
    write_page(redis, overview(now=now() + 60_000))  # a clock that is ahead
    assert 'class="age"' in text_of(operator, "/dashboard/")


def test_htmx_gets_the_middle_alone_and_nothing_when_it_has_it(operator: Client, redis: Redis) -> None:
    page = overview(now=now())
    write_page(redis, page)
    whole = text_of(operator, "/dashboard/overview/")
    assert f'hx-get="/dashboard/overview/?since={page.made_at}"' in whole
    part = operator.get("/dashboard/overview/", headers=HTMX)
    html = part.content.decode().strip()
    assert html.startswith("<main") and html.endswith("</main>") and "4.25" in html
    assert part["Vary"].startswith("HX-Request")
    again = operator.get(f"/dashboard/overview/?since={page.made_at}", headers=HTMX)
    assert (again.status_code, again.content) == (204, b"")
    assert operator.get(f"/dashboard/overview/?since={page.made_at - 1}", headers=HTMX).status_code == 200
    assert operator.get(f"/dashboard/overview/?since={page.made_at}").status_code == 200


def test_a_thousand_days_make_a_page_that_is_not_large(operator: Client, redis: Redis) -> None:
    write_page(redis, traffic(1000, now=now()))
    html = text_of(operator, "/dashboard/traffic/")
    assert len(html) < 150_000
    assert '<a href="/dashboard/traffic/table/0/">' in html
    packed = operator.get("/dashboard/traffic/", headers={"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip" and len(packed.content) < 40_000


def test_the_table_behind_a_chart_has_every_figure(operator: Client, redis: Redis) -> None:
    write_page(redis, traffic(1000, now=now()))
    html = text_of(operator, "/dashboard/traffic/table/0/")
    assert html.count("<tr>") == 1001
    assert html.count('aria-label="not measured"') == 3 * 20
    assert "n 1,000,000 impressions" in plain(html)
    write_page(redis, traffic(20, now=now()))
    assert text_of(operator, "/dashboard/traffic/").count("<tr>") == 21  # a short one is on the page itself
    write_page(redis, overview(now=now()))
    for path in ("traffic/table/7/", "overview/table/0/", "overview/table/2/", "models/table/0/", "x/table/0/"):
        assert operator.get(f"/dashboard/{path}").status_code == 404, path


def test_every_id_of_a_page_is_its_own(operator: Client, redis: Redis) -> None:
    write_page(redis, overview(now=now()))
    ids = re.findall(r'\sid="([^"]+)"', text_of(operator, "/dashboard/"))
    assert len(ids) == len({*ids}) > 5


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_page_is_drawn(operator: Client, redis: Redis, name: str) -> None:
    write_page(redis, Page(name=name, title=name, made_at=now(), blocks=[]))
    assert text_of(operator, f"/dashboard/{name}/")


def test_only_known_pages_are_drawn_often() -> None:
    assert pages.MENU[: len(PAGES)] == list(PAGES)
