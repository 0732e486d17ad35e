"""What the feed tells of the table of items, with a clock of its own."""

import numpy as np
import pytest
from redis import Redis
from sqlalchemy import Engine, delete, update

from graphstore.redis.changes import COUNTER, announce
from graphstore.session import write
from graphstore.tables import items
from serving.catalogue_feed import LOOK_SECONDS, WHOLE_SECONDS, CatalogueFeed
from serving.source import ShopSource
from tests.serving.toy import NAMES, touch


class Shop:
    """A shop with the toy items; each `look` is due."""

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self.engine, self.redis, self.now = engine, redis, 0.0
        redis.set(COUNTER, 5)  # something was announced long ago
        for name in NAMES:
            touch(engine, "first", name, 1)
        self.feed = CatalogueFeed(ShopSource(engine), redis, clock=lambda: self.now)

    def look(self) -> list[str]:
        self.now += LOOK_SECONDS
        found = self.feed.look()
        assert found is not None
        return [item.item_id for item in found]

    def change(self, name: str, *, told: bool = True, **values: object) -> None:
        with write(self.engine) as connection:
            connection.execute(update(items).where(items.c.item_id == name).values(values))
        if told:
            pipeline = self.redis.pipeline()
            announce(pipeline, [self.keys[name]])
            pipeline.execute()

    @property
    def keys(self) -> dict[str, int]:
        return {item.item_id: item.item_key for item in ShopSource(self.engine).items()}

    @property
    def for_sale(self) -> set[str]:
        names = {key: name for name, key in self.keys.items()}
        return {names[key] for key in self.feed.keys[self.feed.for_sale].tolist()}


@pytest.fixture
def shop(engine: Engine, redis: Redis) -> Shop:
    return Shop(engine, redis)


def test_the_first_look_knows_the_stock_and_tells_no_change(shop: Shop) -> None:
    shop.change("apple", available=False)
    assert shop.look() == []
    assert shop.for_sale == {*NAMES} - {"apple"}
    assert (np.diff(shop.feed.keys) > 0).all()


def test_a_look_that_is_not_due_asks_nobody(shop: Shop) -> None:
    shop.look()
    shop.change("apple", available=False)
    assert shop.feed.look() is None


@pytest.mark.parametrize("values", [{"available": False}, {"stock": 0}])
def test_a_sell_out_is_known_at_the_next_look_and_told_once(shop: Shop, values: dict[str, object]) -> None:
    shop.look()
    before = shop.feed.for_sale
    shop.change("dates", **values)
    assert shop.look() == ["dates"]
    assert shop.for_sale == {*NAMES} - {"dates"}
    assert before.all()  # whoever holds the old array keeps it
    after = shop.feed.for_sale
    assert shop.look() == []
    assert shop.feed.for_sale is after
    shop.change("dates", available=True, stock=5)
    assert shop.look() == ["dates"]
    assert shop.for_sale == {*NAMES}


def test_a_new_item_is_told_though_nobody_names_it(shop: Shop) -> None:
    shop.look()
    touch(shop.engine, "ann", "figs", 2)
    assert shop.look() == ["figs"]
    assert shop.for_sale == {*NAMES, "figs"}
    assert shop.look() == []


def test_a_change_that_nobody_named_is_known_a_minute_later(shop: Shop) -> None:
    shop.look()
    shop.change("dates", told=False, available=False)
    shop.look()
    assert shop.for_sale == {*NAMES}
    shop.now += WHOLE_SECONDS
    shop.look()
    assert shop.for_sale == {*NAMES} - {"dates"}


def test_a_redis_that_lost_its_keys_costs_nothing(shop: Shop) -> None:
    shop.change("apple", price=1.0)
    shop.look()
    shop.change("dates", told=False, available=False)
    shop.redis.flushall()
    shop.change("bread", available=False)
    touch(shop.engine, "ann", "figs", 2)
    assert shop.look() == ["figs"]
    assert shop.for_sale == {"apple", "cheese", "elder", "figs"}


def test_an_item_that_is_gone_leaves_the_stock(shop: Shop) -> None:
    shop.look()
    with write(shop.engine) as connection:
        connection.execute(delete(items).where(items.c.item_id == "elder"))
    shop.now += WHOLE_SECONDS
    shop.look()
    assert len(shop.feed.keys) == 4


def test_after_an_error_the_same_change_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.look()
    shop.change("dates", available=False)
    with monkeypatch.context() as patch:
        patch.setattr(ShopSource, "items_by_key", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            shop.look()
    assert shop.look() == ["dates"]


def test_an_empty_shop_is_no_error(engine: Engine, redis: Redis) -> None:
    now = [0.0]
    feed = CatalogueFeed(ShopSource(engine), redis, clock=lambda: now[0])
    assert feed.look() == []
    assert len(feed.keys) == 0
    touch(engine, "ann", "figs", 2)
    now[0] += LOOK_SECONDS
    assert [item.item_id for item in feed.look() or []] == ["figs"]
    assert feed.for_sale.tolist() == [True]
