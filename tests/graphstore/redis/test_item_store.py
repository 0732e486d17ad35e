"""The items in Redis: written as often as you like, read in the order that is asked for."""

from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import item_store


def test_items_by_id_and_by_key(redis: Redis) -> None:
    tea = Item(item_key=7, item_id="i7", title="Tea", categories=["Drinks"], brand="B", price=2.5)
    item_store.set_items(redis, [tea])
    assert item_store.get_items(redis, ["i7", "i8"]) == [tea, None]
    assert item_store.get_items_by_key(redis, [8, 7]) == [None, tea]
    assert item_store.get_items(redis, []) == []
    assert item_store.get_items_by_key(redis, []) == []


def test_the_newest_items_are_those_with_the_highest_keys(redis: Redis) -> None:
    item_store.set_items(redis, [Item(key, f"i{key}") for key in range(150)])
    item_store.set_items(redis, [Item(3, "i3"), Item(200, "late")])  # an old item that changes is not new
    assert [item.item_id for item in item_store.newest_items(redis)] == [
        "late",
        *(f"i{key}" for key in range(149, 50, -1)),
    ]
    redis.zadd(item_store.NEWEST, {b"\xff": 300, "foreign": 301})
    assert len(item_store.newest_items(redis)) == item_store.NEWEST_ITEMS
