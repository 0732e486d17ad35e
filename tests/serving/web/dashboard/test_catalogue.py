"""The search for items."""

from django.test import Client
from redis import Redis

from serving.dashboard.catalogue import Entry, write_catalogue
from serving.web.dashboard.catalogue import FOUND_ITEMS
from tests.serving.web.dashboard.test_pages import now, plain, text_of


def test_items_are_found_with_their_availability(operator: Client, redis: Redis) -> None:
    assert "not written a copy" in text_of(operator, "/dashboard/catalogue/?q=x")
    shop = [Entry("p1", "Red <b>scarf</b>", 19.5, True), Entry("p2", "Blue scarf", None, False)]
    write_catalogue(redis, shop, total=9, now=now())
    html = text_of(operator, "/dashboard/catalogue/?q=SCARF")
    words = plain(html)
    assert "2 items found" in words and "the newest 2 of 9 items" in words
    assert "Red &lt;b&gt;scarf" in html and "19.50" in words and "yes" in words
    assert "1 item found" in plain(text_of(operator, "/dashboard/catalogue/?q=scarf&available=no"))
    assert "0 items found" in plain(text_of(operator, "/dashboard/catalogue/?q=hat"))
    assert "2 items found" in plain(text_of(operator, "/dashboard/catalogue/?available=whatever"))


def test_a_long_answer_is_cut_and_says_so(operator: Client, redis: Redis) -> None:
    entries = (Entry(f"i{n}", f"thing {n}", 1.0, True) for n in range(200))
    write_catalogue(redis, entries, total=200, now=now())
    html = text_of(operator, "/dashboard/catalogue/")
    assert f"200 items found, the first {FOUND_ITEMS}" in plain(html)
    assert html.count('<th scope="row"') == FOUND_ITEMS
