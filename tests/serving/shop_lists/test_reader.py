"""The reader of the shop lists: kept for a moment, empty before the first list, and without what is corrupt."""

import numpy as np
import pytest
from redis import Redis
from redis.client import Pipeline

from serving.shop_lists import reader
from serving.shop_lists.lists import (
    ALL,
    CATEGORIES,
    REPURCHASE,
    TOGETHER,
    ShopEntry,
    best_key,
    encode,
    rising_key,
    vectors_key,
    write_hash,
)
from serving.shop_lists.reader import ShopLists

TEA, CUP = ShopEntry(7, 2.5, 11), ShopEntry(8, 1.25, 70_000)


def killed(*_: object) -> None:
    raise KeyboardInterrupt


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lists_of_the_shop_and_of_a_category(redis: Redis) -> None:
    write_hash(redis, best_key("24h"), {ALL: encode([TEA, CUP]), "Drinks": encode([TEA])})
    write_hash(redis, rising_key("1h"), {ALL: encode([CUP])})
    lists = ShopLists(redis)
    assert lists.best("24h") == [TEA, CUP]
    assert lists.best("24h", "Drinks") == [TEA]
    assert lists.best("24h", "Dairy") == lists.best("7d") == lists.rising("24h") == []
    assert lists.rising("1h") == [CUP]


def test_a_list_is_kept_for_a_moment(redis: Redis) -> None:
    clock = Clock()
    lists = ShopLists(redis, seconds=2.0, clock=clock)
    for entry, time, seen in [(TEA, 0.0, TEA), (CUP, 2.0, TEA), (CUP, 2.1, CUP)]:
        write_hash(redis, best_key("24h"), {ALL: encode([entry])})
        clock.now = time
        assert lists.best("24h") == [seen]


def test_what_goes_together_in_the_order_of_the_items(redis: Redis) -> None:
    write_hash(redis, TOGETHER, {"cup": encode([TEA]), "tea": encode([CUP, TEA])})
    lists = ShopLists(redis)
    assert lists.together(["tea", "none", "cup", "tea"]) == [[CUP, TEA], [], [TEA], [CUP, TEA]]
    redis.delete(TOGETHER)
    assert lists.together(["cup", "tea"]) == [[TEA], [CUP, TEA]]
    assert lists.together([]) == []


def test_days_and_categories(redis: Redis) -> None:
    lists = ShopLists(redis, seconds=-1.0)
    assert lists.repurchase() == {}
    write_hash(redis, REPURCHASE, {"Dairy": 6.5, "Drinks": 30.0})
    redis.zadd(CATEGORIES, {"Dairy": 3, "Drinks": 9})
    assert lists.repurchase() == {"Dairy": 6.5, "Drinks": 30.0}
    assert lists.categories() == [("Drinks", 9), ("Dairy", 3)]
    redis.hset(REPURCHASE, mapping={"Bread": "soon", "Milk": "nan", b"\xff": "1"})
    assert lists.repurchase() == {"Dairy": 6.5, "Drinks": 30.0}


def test_vectors_of_a_model(redis: Redis) -> None:
    vector = np.array([0.5, -1.25], dtype="<f2")
    write_hash(redis, vectors_key("m1"), {"7": vector.tobytes(), "8": b"odd", "9": np.float16(np.inf).tobytes()})
    lists = ShopLists(redis)
    for _ in range(2):
        found = lists.vectors("m1", [7, 8, 9, 10])
        assert list(found) == [7]
        assert found[7].tolist() == [0.5, -1.25]
        assert found[7].dtype == np.float32
    assert lists.vectors("m2", [7]) == {}


@pytest.mark.parametrize("raw", [b"", b"\xc1", encode([TEA])[:-1], b"\x93\x01\x02\x03"])
def test_a_corrupt_list_is_an_empty_one(redis: Redis, raw: bytes) -> None:
    redis.hset(best_key("24h"), ALL, raw)
    assert ShopLists(redis).best("24h") == []


def test_a_hash_is_replaced_whole_and_a_killed_writer_leaves_nothing_for_long(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hash(redis, "h", {"old": b"1"})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Pipeline, "unlink", killed, raising=False)
        write_hash(redis, "h", {"new": b"2"})
    assert redis.hgetall("h") == {b"old": b"1"}
    (draft,) = set(redis.keys()) - {b"h"}
    assert 0 < redis.ttl(draft) <= 600
    redis.delete(draft)
    write_hash(redis, "h", {str(n): b"3" for n in range(1200)})
    assert redis.hlen("h") == 1200
    assert redis.keys() == [b"h"]
    assert redis.ttl("h") == -1
    write_hash(redis, "h", {})
    assert not redis.exists("h")


def test_what_is_kept_is_bounded(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_LISTS", 3)
    names = [f"i{number}" for number in range(7)]
    write_hash(redis, TOGETHER, {name: encode([TEA]) for name in names})
    lists = ShopLists(redis)
    assert lists.together(names) == [[TEA]] * 7
    redis.delete(TOGETHER)
    assert 1 <= sum(lists.together([name]) == [[TEA]] for name in reversed(names)) <= 3
