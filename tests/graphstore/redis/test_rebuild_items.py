"""Items in Redis beside a worker that stores newer ones, interleaved by hand."""

from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore.catalogue import Item
from graphstore.redis import item_store, rebuild_items
from stream.events import CatalogItem, utc
from stream.worker.sink import Sink

T0 = 1_700_000_000_000


class Shop:
    def __init__(self, engine: Engine, redis: Redis) -> None:
        self.engine, self.redis = engine, redis
        self.sink = Sink(engine, redis, recent_items=5, trending_items=5)
        for name in ("tea", "oil"):
            self.tell(name, "Old", T0)

    def tell(self, item_id: str, title: str, time: int) -> None:
        self.sink.store_items([CatalogItem(item_id=item_id, title=title, event_time=utc(time))], now=time)

    def rebuild(self) -> rebuild_items.ItemsRebuilt:
        return rebuild_items.rebuild_items(self.engine, self.redis, alive=lambda: None)

    def titles(self, *names: str) -> list[str | None]:
        return [item and item.title for item in item_store.get_items(self.redis, names)]


@pytest.fixture
def shop(sqlite_engine: Engine, redis: Redis) -> Shop:
    return Shop(sqlite_engine, redis)


def test_a_newer_title_that_comes_between_the_read_and_the_write_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_items = item_store.set_items
    titles = ["Newer", "Newest"]

    def late(redis: Redis, items: Any) -> None:
        if titles:
            monkeypatch.setattr(item_store, "set_items", set_items)
            shop.tell("tea", titles[0], T0 + 3 - len(titles))
            titles.pop(0)
            monkeypatch.setattr(item_store, "set_items", late)
        set_items(redis, items)

    monkeypatch.setattr(item_store, "set_items", late)
    assert shop.rebuild().items == 2
    assert not titles
    assert shop.titles("tea", "oil") == ["Newest", "Old"]


def test_an_item_that_comes_while_its_key_is_about_to_be_removed_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    item_store.set_items(shop.redis, [Item(77, "new"), Item(78, "gone")])
    remove = rebuild_items.remove_unknown
    told: list[str] = []

    def late(engine: Engine, redis: Redis, key: str, *rest: Any) -> int:
        if key == item_store.item_key("new") and not told:
            told.append(key)
            shop.tell("new", "New", T0)
        return remove(engine, redis, key, *rest)

    monkeypatch.setattr(rebuild_items, "remove_unknown", late)
    assert shop.rebuild().removed == 1 + 2  # `gone`, and the two fields of keys that SQL never gave out
    assert told
    assert shop.titles("new", "gone") == ["New", None]
    assert set(shop.redis.hvals(item_store.ITEM_IDS)) == {b"tea", b"oil", b"new"}


def test_a_key_that_is_written_while_it_is_looked_up_is_looked_up_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    item_store.set_items(shop.redis, [Item(3, "new")])
    shop.redis.hdel(item_store.ITEM_IDS, "3")
    read = rebuild_items.read
    looked: list[int] = []

    class Late:
        """Lets a worker store the item after the look, before the removal."""

        def __init__(self, engine: Engine) -> None:
            self.inner = read(engine)

        def __enter__(self) -> Any:
            return self.inner.__enter__()

        def __exit__(self, *error: Any) -> Any:
            done = self.inner.__exit__(*error)
            looked.append(1)
            if len(looked) == 1:
                shop.tell("new", "New", T0)
            return done

    monkeypatch.setattr(rebuild_items, "read", Late)
    known = rebuild_items.items.c.item_id == "new"
    removed = rebuild_items.remove_unknown(
        shop.engine, shop.redis, item_store.item_key("new"), known, lambda pipe, key: pipe.delete(key)
    )
    assert (removed, len(looked)) == (0, 2)
    assert shop.titles("new") == ["New"]


def test_the_newest_items_are_made_again(shop: Shop) -> None:
    shop.redis.zadd(item_store.NEWEST, {"gone": 99})
    shop.rebuild()
    assert [item.item_id for item in item_store.newest_items(shop.redis)] == ["oil", "tea"]
