"""Models and columns follow SQL and Redis, and what is there stays while these are away."""

import threading
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import Engine, update

from graphstore.catalogue import Item
from graphstore.redis.changes import COUNTER, announce
from graphstore.session import write
from graphstore.tables import items as items_table
from serving import cache
from serving.followed_models import FollowedModels
from serving.online import following
from serving.online.catalogue_columns import CatalogueColumns
from serving.online.following import Following
from serving.rules.criteria import Criteria
from serving.source import ShopSource
from stream.liveness import Liveness
from tests.serving.toy import MODEL, NAMES, fill_redis, register, touch, toy_load
from tests.waiting import wait_until, without_waiting


class Shop:
    """A followed shop with the toy model; `clock` moves the looks at the catalogue."""

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self.now = 0.0
        self.engine, self.redis = engine, redis
        source, self.columns = ShopSource(engine), CatalogueColumns()
        self.models = FollowedModels(
            source, redis, trend_seconds=3600, load=toy_load(self.item_keys()), clock=lambda: self.now
        )
        self.following = Following(self.models, self.columns, source, liveness=Liveness())

    def item_keys(self) -> dict[str, int]:
        return {item.item_id: item.item_key for item in ShopSource(self.engine).items()}

    def round(self) -> None:
        self.now += 1.0
        self.following.round()

    def branded(self, brand: str) -> list[int]:
        return self.columns.allowed([Criteria(brands=(brand,))]).nonzero()[0].tolist()


def set_brand(engine: Engine, item_id: str, brand: str) -> None:
    with write(engine) as connection:
        connection.execute(update(items_table).where(items_table.c.item_id == item_id).values(brand=brand))


@pytest.fixture
def shop(sqlite_engine: Engine, redis: Redis) -> Iterator[Shop]:
    for name in NAMES:
        touch(sqlite_engine, "ann", name, 1)
    register(sqlite_engine, MODEL)
    yield Shop(sqlite_engine, redis)


def test_before_the_first_model_it_waits_and_says_so(shop: Shop) -> None:
    shop.round()
    assert shop.following.needs == {"model": "waiting for the first model", "catalogue": "ok"}
    fill_redis(shop.redis)
    shop.round()
    assert shop.following.needs == {"model": "ok", "catalogue": "ok"}
    assert list(shop.models.models) == [MODEL]


def test_the_whole_catalogue_is_read_before_anything_else(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FIRST_ITEMS", 2)
    shop.round()
    assert (len(shop.columns), shop.columns.whole) == (5, True)


def test_a_change_that_redis_names_is_in_the_columns_at_the_next_look(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "TURN_ITEMS", 1)  # so that the turn does not find it first
    shop.redis.set(COUNTER, 5)  # something was announced long ago
    shop.round()
    set_brand(shop.engine, "elder", "New")
    pipeline = shop.redis.pipeline()
    announce(pipeline, [shop.item_keys()["elder"]])
    pipeline.execute()
    shop.round()
    assert shop.branded("New") == [4]


def test_a_change_that_nobody_names_is_found_in_turn(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "TURN_ITEMS", 2)
    shop.round()
    set_brand(shop.engine, "elder", "New")
    for _ in range(4):
        shop.round()
    assert shop.branded("New") == [4]


def test_a_new_item_reaches_columns_and_model(shop: Shop) -> None:
    fill_redis(shop.redis)
    shop.round()
    touch(shop.engine, "ann", "figs", 2)
    shop.round()
    assert shop.columns.keys_of(["figs"]) == [shop.item_keys()["figs"]]
    assert shop.models.models[MODEL].item_ids[-1] == "figs"


def test_what_is_there_stays_while_redis_is_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill_redis(shop.redis)
    shop.round()
    away = True
    served = cache.served

    def ask(redis: Redis) -> object:
        if away:
            raise RedisConnectionError("refused")
        return served(redis)

    monkeypatch.setattr(cache, "served", ask)
    monkeypatch.setattr(following, "ROUND_SECONDS", 0.005)
    shop.following.start()
    wait_until(lambda: shop.following.needs["model"] == "refused", seconds=30)
    assert list(shop.models.models) == [MODEL]
    away = False
    wait_until(lambda: shop.following.needs["model"] == "ok", seconds=30)
    shop.following.close()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["the ranker goes on with what it has: refused"]
    assert len(shop.columns) == 5


class Hanging(ShopSource):
    """A database that does not answer until the test says so."""

    began = threading.Event()
    released = threading.Event()

    def items_after(self, item_key: int, limit: int | None = None) -> list[Item]:
        self.began.set()
        assert self.released.wait(90)
        return []


def test_an_end_does_not_wait_for_a_database_that_hangs(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(following, "ROUND_SECONDS", 0.001)
    source = Hanging(shop.engine)
    hanging = Following(shop.models, shop.columns, source, liveness=Liveness())
    hanging.start()
    assert source.began.wait(30)
    with without_waiting(30):
        hanging.close()
    source.released.set()
    monkeypatch.setattr(following, "STOP_SECONDS", 30.0)
    hanging.close()  # before Redis is


def test_a_model_that_comes_later_knows_what_is_sold_out(shop: Shop) -> None:
    fill_redis(shop.redis)
    shop.round()
    with write(shop.engine) as connection:
        connection.execute(update(items_table).where(items_table.c.item_id == "apple").values(stock=0))
    pipeline = shop.redis.pipeline(transaction=False)
    announce(pipeline, [shop.item_keys()["apple"]])
    pipeline.execute()
    shop.round()
    register(shop.engine, "m2", status="kept")
    shop.redis.set(cache.CHAMPION, "m2")
    shop.round()
    assert shop.models.models["m2"].available.tolist() == [False, True, True, True, True]
