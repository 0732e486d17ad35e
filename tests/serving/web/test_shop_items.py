import pytest
from django.conf import LazySettings
from django.test import Client
from redis import Redis

from graphstore.config import GraphstoreConfig
from graphstore.redis import item_store
from serving.config import ServingConfig
from serving.dashboard.catalogue import Entry, write_catalogue
from serving.web import services
from tests.serving.toy import ITEMS


@pytest.fixture
def copied(web: Client, redis: Redis) -> Client:
    """The web process after the monitor has copied the catalogue."""
    write_catalogue(redis, [Entry(item.item_id, item.title, item.price, True) for item in ITEMS], total=5, now=0)
    return web


def test_a_search_finds_items_by_their_words(copied: Client) -> None:
    found = copied.get("/shop/search/", {"q": "e"}).json()
    assert [item["item_id"] for item in found["items"]] == ["elder", "apple", "bread", "cheese", "dates"]
    assert (found["matches"], found["total"]) == (5, 5)
    assert copied.get("/shop/search/", {"q": "CHEE"}).json()["items"] == [
        {
            "item_id": "cheese",
            "title": "Cheese",
            "categories": ["food"],
            "brand": "Toy",
            "price": 1.5,
            "available": True,
            "stock": None,
            "attributes": {},
        }
    ]
    assert copied.get("/shop/search/", {"q": "chair"}).json()["items"] == []


def test_what_was_sold_out_since_the_copy_is_not_found(copied: Client, redis: Redis) -> None:
    (cheese,) = (item for item in ITEMS if item.item_id == "cheese")
    item_store.set_items(redis, [type(cheese)(cheese.item_key, "cheese", available=False)])
    assert copied.get("/shop/search/", {"q": "cheese"}).json()["items"] == []


def test_items_come_in_the_order_of_their_ids_without_unknown_ones(web: Client) -> None:
    found = web.get("/shop/items/?id=dates&id=nobody&id=apple").json()["items"]
    assert [item["item_id"] for item in found] == ["dates", "apple"]
    assert web.get("/shop/items/").json() == {"items": []}


def test_what_is_away_is_said(web: Client, settings: LazySettings) -> None:
    answer = web.get("/shop/search/", {"q": "a"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert "monitor" in answer.json()["detail"]
    services.close()
    settings.GRAPHSTORE = GraphstoreConfig(redis_url="redis://127.0.0.1:1/0")
    for path in ("/shop/search/?q=a", "/shop/items/?id=apple"):
        assert (web.get(path).status_code, web.get(path).json()) == (503, {"detail": "Redis cannot be read"})


def test_both_are_off_with_the_page(web: Client, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig()
    assert web.get("/shop/search/?q=a").status_code == 404
    assert web.get("/shop/items/?id=apple").status_code == 404
