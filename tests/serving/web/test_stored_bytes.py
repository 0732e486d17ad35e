"""No byte in Redis gives 500. What cannot be read is absent and counted, and the answer names what was served."""

import logging
import struct

import msgspec
import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from redis import Redis

from graphstore.redis import corrupt, hot, item_store
from serving import cache
from serving.routing import ROUTING
from serving.shop_lists.lists import CATEGORIES, REPURCHASE, TOGETHER, best_key, rising_key, vectors_key
from serving.web import services
from tests.serving.toy import MODEL, fill_redis

PATHS = (
    "/recommendations/ann/?explain=1&k=5",
    "/recommendations/ann/?slot=buy_again&explain=1",
    "/recommendations/ann/?slot=discover",
    "/recommendations/ann/?slot=recently_viewed",
    "/recommendations/nobody/",
    "/items/apple/similar/",
    "/items/apple/bought-together/?explain=1",
    "/trending/",
    "/best-sellers/?category=food",
    "/categories/",
    "/categories/food/items/?user_id=ann",
    "/",
)

LISTS = st.builds(
    lambda version, as_of, rest: struct.pack("<Bq", version, as_of) + rest,
    st.sampled_from([0, 1, 2]),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=30),
)
ITEMS = st.sampled_from(
    [
        b"{}",
        b"null",
        b"[" * 50_000,
        b'{"item_key":11,"item_id":7}',
        b'{"item_key":11,"item_id":"apple","price":1e999}',
        b'{"item_key":11,"item_id":"apple","x":' + b"[" * 50_000,
        b'{"item_key":11,"item_id":"\xff"}',
        b'{"item_key":11,"item_id":"\\ud800"}',
    ]
)
ANY = st.one_of(st.binary(max_size=40), LISTS, ITEMS)
KEYS = (
    cache.CHAMPION,
    ROUTING,
    cache.recs_key(MODEL, "ann"),
    cache.near_key(MODEL, "ann"),
    cache.popular_key(MODEL),
    cache.similar_key(MODEL, "apple"),
    item_store.item_key("apple"),
    item_store.item_key("elder"),
)
SCORES = st.floats(allow_nan=False)
ENTRIES = st.one_of(
    ANY,
    st.lists(st.tuples(st.integers(-3, 2**40), st.floats(), st.integers(-3, 2**40))).map(msgspec.msgpack.encode),
)
HASHES = {
    best_key("24h"): ("", "food"),
    rising_key("24h"): ("", "food"),
    TOGETHER: ("apple", "elder"),
    REPURCHASE: ("food", b"\xff"),
    hot.shown_key("ann"): ("apple", b"\xff"),
    vectors_key(MODEL): ("11", "15"),
}


def counted() -> float:
    kinds = ("pointer", "routing", "list", "item", "score")
    return sum(REGISTRY.get_sample_value("sagestream_redis_corrupt_total", {"kind": kind}) or 0.0 for kind in kinds)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(KEYS), ANY, min_size=1), ANY, SCORES, ENTRIES)
def test_any_stored_bytes_are_served_around(
    web: Client, redis: Redis, stored: dict[str, bytes], name: bytes, score: float, entries: bytes
) -> None:
    redis.flushall()
    fill_redis(redis)
    redis.mset(stored)
    redis.hset(item_store.ITEM_IDS, "11", name)
    for key in (hot.trending_key("24h"), hot.recent_key("ann"), hot.bought_key("ann"), CATEGORIES):
        redis.zadd(key, {name: score, "apple": 1.0})
    for key, fields in HASHES.items():
        redis.hset(key, mapping=dict.fromkeys(fields, entries))
    services.storefront().shop.seconds = 0.0
    redis.sadd(hot.seen_key("ann"), name)
    for path in PATHS:
        answer = web.get(path)
        assert answer.status_code in (200, 404, 503), (path, answer.content)


@pytest.mark.parametrize(
    "raw", [b"", b"\x01", b"\x02" + bytes(14), struct.pack("<Bq", 1, 2**62), b"\xff" * 40, b"\x01" + bytes(12)]
)
def test_a_corrupt_list_is_counted_told_and_replaced_by_the_popular_one(
    web: Client, redis: Redis, raw: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrupt, "LOG_SECONDS", 0.0)
    redis.set(cache.recs_key(MODEL, "ann"), raw)
    before = counted()
    with caplog.at_level(logging.ERROR, logger="graphstore.redis.corrupt"):
        answer = web.get("/recommendations/ann/").json()
    assert (answer["source"], len(answer["items"])) == ("popular", 5)
    assert counted() == before + 1
    assert cache.recs_key(MODEL, "ann") in caplog.text


def test_a_corrupt_pointer_is_no_pointer(web: Client, redis: Redis) -> None:
    for raw in (b"\xff\xfe", b"a:b", b"", b"popular"):
        redis.set(cache.CHAMPION, raw)
        assert web.get("/recommendations/ann/").status_code == 503


def test_a_corrupt_item_is_left_out(web: Client, redis: Redis) -> None:
    redis.set(item_store.item_key("elder"), b"{")
    items = web.get("/recommendations/ann/").json()["items"]
    assert [item["item_id"] for item in items] == ["apple", "bread", "cheese", "dates"]
    assert [item["position"] for item in items] == [0, 1, 2, 3]


def test_a_known_problem_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [1e9]
    for _ in range(5):
        corrupt.left_out("list", "recs:m:u", "torn", clock=lambda: now[0])
    assert len(caplog.records) == 1
    now[0] += corrupt.LOG_SECONDS
    corrupt.left_out("list", "recs:m:u", "torn", clock=lambda: now[0])
    assert len(caplog.records) == 2
