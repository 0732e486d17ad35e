from datetime import UTC, datetime

import pytest
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import hot, item_store
from serving import cache, coldstart
from serving.recommend import Storefront
from stream.events import utc
from tests.serving.toy import ITEMS, MODEL, fill_redis

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def strangers_list(redis: Redis, count: int = 3) -> tuple[datetime, list[str]]:
    store = Storefront.open(redis, pointer_seconds=0, item_seconds=0)
    as_of, found = coldstart.for_the_unknown(redis, store.lists, store.items, MODEL, count=count, now=NOW)
    return as_of, [item.item_id for item, _ in found]


def test_the_models_own_list_comes_first(redis: Redis) -> None:
    fill_redis(redis, as_of=7)
    hot.set_trending(redis, "1h", {"dates": 5.0})
    assert strangers_list(redis) == (utc(7), ["apple", "bread", "cheese", "dates", "elder"])


def test_trending_stands_in_by_the_shortest_window_that_is_full(redis: Redis) -> None:
    item_store.set_items(redis, ITEMS)
    hot.set_trending(redis, "1h", {"dates": 5.0})
    hot.set_trending(redis, "24h", {"dates": 9.0, "apple": 8.0, "elder": 1.0})
    assert strangers_list(redis) == (NOW, ["dates", "apple", "elder"])
    assert strangers_list(redis, 1) == (NOW, ["dates"])
    assert strangers_list(redis, 50) == (NOW, ["dates", "apple", "elder"])


def test_what_cannot_be_bought_is_left_out(redis: Redis) -> None:
    fill_redis(redis)
    item_store.set_items(redis, [Item(11, "apple", available=False)])
    redis.delete(item_store.item_key("bread"))
    assert strangers_list(redis)[1] == ["cheese", "dates", "elder"]
    hot.set_trending(redis, "1h", {"apple": 5.0, "elder": 2.0})
    assert [item.item_id for item, _ in coldstart.trending(redis, "1h", 10)] == ["elder"]


def test_nothing_gives_nothing(redis: Redis) -> None:
    assert strangers_list(redis) == (NOW, [])
    assert cache.champion(redis) is None


def test_an_unknown_window_is_refused(redis: Redis) -> None:
    with pytest.raises(ValueError, match="2h"):
        coldstart.trending(redis, "2h", 3)
