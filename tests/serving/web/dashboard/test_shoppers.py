"""What is known of one shopper, live."""

from django.test import Client
from redis import Redis

from graphstore.redis import hot
from tests.serving.web.dashboard.test_pages import now, plain, text_of


def test_history_list_and_reasons(operator: Client, redis: Redis) -> None:
    hot.record(redis, [("ann", "cheese", now() - 60_000), ("ann", "gone", now())], keep=200)
    html = text_of(operator, "/dashboard/shoppers/?user=ann")
    words = plain(html)
    for part in ("Cheese", "from your history", "m1", "champion", "batch", "gone", "home"):
        assert part in words, part
    assert "errand=forget&amp;subject=ann" in html and "errand=export&amp;subject=ann" in html


def test_an_unknown_shopper_gets_what_such_a_shopper_is_served(operator: Client) -> None:
    words = plain(text_of(operator, "/dashboard/shoppers/?user=nobody%20%3Cb%3E"))
    assert "no event of this id is known" in words and "popular" in words
    assert "<b>" not in text_of(operator, "/dashboard/shoppers/?user=nobody%20%3Cb%3E").replace("&lt;b&gt;", "")


def test_without_an_id_some_shoppers_are_offered(operator: Client) -> None:
    assert "?user=ann" in text_of(operator, "/dashboard/shoppers/")


def test_an_id_outside_the_contract_is_told(operator: Client) -> None:
    assert "the id has" in plain(text_of(operator, f"/dashboard/shoppers/?user={'x' * 300}"))
    assert "the id has" in plain(text_of(operator, "/dashboard/shoppers/?user=%00"))


def test_before_the_first_model(operator: Client, redis: Redis) -> None:
    redis.delete("recs:champion")
    hot.record(redis, [("ann", "cheese", now())], keep=200)
    words = plain(text_of(operator, "/dashboard/shoppers/?user=ann"))
    assert "no model is published yet" in words and "Cheese" in words
    assert text_of(operator, "/dashboard/shoppers/")
