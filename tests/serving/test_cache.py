from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import changes, item_store
from serving import cache
from serving.cache import ItemReader, ListReader, MalformedList, pack, unpack
from serving.routing import ROUTING, Assignment, Routing, encode, probation
from tests.serving.toy import ITEMS, KEYS

entries = st.lists(
    st.tuples(st.integers(0, 2**31 - 1), st.floats(-60_000, 60_000, allow_nan=False, width=16)), max_size=200
)

USERS = [f"u{number}" for number in range(50)]
KEPT = Routing((probation("m1", 0.5, salt="p1"),), "m2")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(entries, st.integers(0, 253_402_300_799_999))
def test_a_packed_list_comes_back_as_it_went(pairs: list[tuple[int, float]], as_of: int) -> None:
    keys, scores = [key for key, _ in pairs], [score for _, score in pairs]
    packed = unpack(pack(keys, scores, as_of=as_of))
    assert packed.as_of == as_of
    assert packed.item_keys.tolist() == keys
    assert packed.scores.tolist() == scores
    assert len(packed) == len(pairs)


def test_a_hundred_items_take_609_bytes() -> None:
    assert len(pack(np.arange(100), np.linspace(9, 1, 100), as_of=0)) == 609


@given(entries, st.data())
def test_a_torn_list_is_refused(pairs: list[tuple[int, float]], data: st.DataObject) -> None:
    raw = pack([key for key, _ in pairs], [score for _, score in pairs], as_of=1)
    cut = data.draw(st.integers(1, 5))
    with pytest.raises(MalformedList):
        unpack(raw[:-cut])


@given(st.binary(max_size=100))
def test_any_bytes_are_a_list_or_refused(raw: bytes) -> None:
    try:
        packed = unpack(raw)
    except MalformedList:
        return
    assert pack(packed.item_keys, packed.scores, as_of=packed.as_of)[:9] == raw[:9]


@pytest.mark.parametrize("as_of", [-1, 253_402_300_800_000, 2**63 - 1])
def test_a_time_that_no_calendar_has_is_refused(as_of: int) -> None:
    with pytest.raises(MalformedList, match="time"):
        unpack(pack([1], [1], as_of=as_of))


def test_another_format_is_refused() -> None:
    raw = pack([1], [1.0], as_of=0)
    with pytest.raises(MalformedList, match="format 2"):
        unpack(b"\x02" + raw[1:])


@pytest.mark.parametrize(
    ("keys", "scores"), [([1, 2], [1.0]), ([-1], [1.0]), ([2**31], [1.0]), ([1], [np.nan]), ([1], [np.inf])]
)
def test_impossible_content_is_not_packed(keys: list[int], scores: list[float]) -> None:
    with pytest.raises(ValueError):
        pack(keys, scores, as_of=0)


def test_large_scores_are_cut_to_half_precision() -> None:
    assert unpack(pack([1, 2], [1e9, -1e9], as_of=0)).scores.tolist() == [60000.0, -60000.0]


def test_padding_is_left_out() -> None:
    raw = cache.pack_rows(
        np.array([[1, 0, -1]]), np.array([[2.0, 1.0, -np.inf]], dtype=np.float32), np.array([11, 12]), as_of=5
    )
    assert unpack(raw[0]).item_keys.tolist() == [12, 11]


def test_the_newer_list_wins_and_near_line_wins_a_tie() -> None:
    old, new = unpack(pack([1], [1], as_of=1)), unpack(pack([2], [1], as_of=2))
    found = cache.newer(old, new)
    assert found and found[0] == "nearline"
    found = cache.newer(new, old)
    assert found and (found[0], found[1].item_keys.tolist()) == ("batch", [2])
    found = cache.newer(new, new)
    assert found and found[0] == "nearline"
    found = cache.newer(old, None)
    assert found and found[0] == "batch"
    assert cache.newer(None, None) is None


@pytest.mark.parametrize("version", ["", "a:b", "champion", "routing", "whole", "retiring", "popular"])
def test_a_version_that_would_break_keys_is_refused(version: str) -> None:
    with pytest.raises(ValueError):
        cache.check_version(version)


@pytest.mark.parametrize(
    ("key", "version"),
    [
        (cache.recs_key("v1", "a:b"), "v1"),
        (cache.near_key("v1", "u"), "v1"),
        (cache.similar_key("v1", "i"), "v1"),
        (cache.popular_key("v1"), "v1"),
        (cache.CHAMPION, None),
        (ROUTING, None),
        (cache.WHOLE, None),
        ("recent:u", None),
        ("item:recs", None),
    ],
)
def test_a_key_tells_its_model(key: str, version: str | None) -> None:
    assert cache.version_of(key.encode()) == version


def test_the_pointer_is_trusted_for_a_moment(redis: Redis) -> None:
    clock = Clock()
    lists = ListReader(redis, 1.0, clock)
    assert lists.champion() is None
    redis.set(cache.CHAMPION, "m1")
    assert lists.champion() == "m1"  # a missing pointer is never trusted
    redis.set(cache.CHAMPION, "m2")
    assert lists.champion() == "m1"
    clock.now = 1.5
    assert lists.champion() == "m2"


def test_pointer_and_routing_are_read_together(redis: Redis) -> None:
    clock = Clock()
    lists = ListReader(redis, 1.0, clock)
    redis.mset({cache.CHAMPION: "m2", ROUTING: encode(KEPT)})
    variants = {lists.assign(user, "home") for user in USERS}
    assert variants == {Assignment("champion", "m2"), Assignment("previous", "m1")}
    assert cache.served(redis) == cache.Served("m2", KEPT)
    assert cache.Served("m2", KEPT).versions == ["m2", "m1"]
    redis.mset({cache.CHAMPION: "m3", ROUTING: encode(Routing((), "m3"))})
    assert {lists.assign(user, "home") for user in USERS} == variants  # both are as old
    clock.now = 2.0
    assert {lists.assign(user, "home") for user in USERS} == {Assignment("champion", "m3")}
    assert ListReader(redis, 1.0, clock).assign("u", None) == Assignment("champion", "m3")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b'{"splits": 1}',
        b'{"x":' + b"[" * 50_000,
        encode(Routing(KEPT.splits, "another")),
        encode(Routing((probation("a:b", 0.5, salt="s"),), "m2")),
    ],
)
def test_a_corrupt_or_stale_routing_is_counted_and_everybody_gets_the_champion(redis: Redis, raw: bytes) -> None:
    name, labels = "sagestream_redis_corrupt_total", {"kind": "routing"}
    before = REGISTRY.get_sample_value(name, labels) or 0.0
    redis.mset({cache.CHAMPION: "m2", ROUTING: raw})
    assert cache.served(redis) == cache.Served("m2")
    assert REGISTRY.get_sample_value(name, labels) == before + 1


def test_the_popular_list_follows_its_model(redis: Redis) -> None:
    clock = Clock()
    lists = ListReader(redis, 1.0, clock)
    cache.write_lists(redis, {cache.popular_key("m1"): pack([1], [1], as_of=1)})
    cache.write_lists(redis, {cache.popular_key("m2"): pack([2], [1], as_of=1)})
    first, second = lists.popular("m1"), lists.popular("m2")
    assert first and second
    assert (first.item_keys.tolist(), second.item_keys.tolist()) == ([1], [2])
    cache.write_lists(redis, {cache.popular_key("m2"): pack([3], [1], as_of=2)})
    assert lists.popular("m2") is second
    assert lists.popular("m1") is first  # two models serve at once in a probation
    clock.now = 2.0
    third = lists.popular("m2")
    assert third and third.item_keys.tolist() == [3]
    assert lists.popular("m3") is None


def test_lists_are_written_for_good_or_for_a_while(redis: Redis) -> None:
    raw = pack([1], [1], as_of=1)
    cache.write_lists(redis, {cache.recs_key("m", str(n)): raw for n in range(7)}, at_once=3)
    cache.write_lists(redis, {cache.near_key("m", "0"): raw}, ttl_seconds=60)
    assert all(redis.ttl(cache.recs_key("m", str(n))) == -1 for n in range(7))
    assert 0 < redis.ttl(cache.near_key("m", "0")) <= 60
    found = ListReader(redis, 1.0).of_user("m", "0")
    assert found and found[0] == "nearline"
    assert ListReader(redis, 1.0).of_user("m", "nobody") is None


def test_titles_are_kept_for_a_while(redis: Redis) -> None:
    clock = Clock()
    reader = ItemReader(redis, 30.0, clock=clock)
    item_store.set_items(redis, ITEMS)
    assert [item and item.title for item in reader.by_key([12, 99, 11])] == ["Bread", None, "Apple"]
    item_store.set_items(redis, [Item(11, "apple", title="Pear")])
    assert [item and item.title for item in reader.by_key([11, 13])] == ["Apple", "Cheese"]
    clock.now = 31.0
    assert [item and item.title for item in reader.by_key([11])] == ["Pear"]


def test_a_sell_out_counts_half_a_second_later(redis: Redis) -> None:
    clock = Clock()
    reader = ItemReader(redis, clock=clock)
    item_store.set_items(redis, ITEMS)
    assert [item and item.available for item in [*reader.by_key([11, 12]), *reader.by_id(["apple"])]] == [True] * 3
    item_store.set_items(redis, [Item(11, "apple", available=False)])
    clock.now = 0.4
    assert reader.by_id(["apple"])[0] == ITEMS[0]
    clock.now = 0.5
    assert [item and item.available for item in [*reader.by_key([11, 12]), *reader.by_id(["apple"])]] == [
        *(False, True),
        False,
    ]


def test_only_what_changed_is_read_again(redis: Redis) -> None:
    clock = Clock()
    reader = ItemReader(redis, clock=clock)
    item_store.set_items(redis, ITEMS)
    reader.by_key(KEYS.tolist())
    item_store.set_items(redis, [Item(11, "apple", title="Pear")])
    redis.delete(item_store.item_key("apple"), item_store.item_key("bread"))
    clock.now = 0.5
    assert [item and item.title for item in reader.by_key([11, 12])] == [None, "Bread"]


def test_an_item_that_was_unknown_is_found_by_key_and_by_id(redis: Redis) -> None:
    clock = Clock()
    reader = ItemReader(redis, clock=clock)
    assert [*reader.by_key([11]), *reader.by_id(["apple", "apple"])] == [None] * 3
    item_store.set_items(redis, ITEMS)
    clock.now = 0.5
    assert [*reader.by_key([11]), *reader.by_id(["apple", "none"])] == [ITEMS[0], ITEMS[0], None]


def test_what_was_read_while_it_changed_is_not_kept(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other thread hears of the change before this one keeps what it read before the change."""
    clock = Clock()
    reader = ItemReader(redis, clock=clock)
    item_store.set_items(redis, ITEMS)
    reader.by_key([12])
    read = item_store.get_items_by_key

    def slow(redis: Redis, keys: Sequence[int]) -> list[Item | None]:
        found = read(redis, keys)
        if keys == [11]:
            item_store.set_items(redis, [Item(11, "apple", title="Pear")])
            clock.now += 0.5
            reader.by_key([12])
        return found

    monkeypatch.setattr(item_store, "get_items_by_key", slow)
    assert [item and item.title for item in reader.by_key([11])] == ["Apple"]
    monkeypatch.undo()
    assert [item and item.title for item in reader.by_key([11])] == ["Pear"]


@pytest.mark.parametrize("lost", ["flushed", "too many changes"])
def test_a_reader_that_missed_changes_forgets_all(redis: Redis, lost: str) -> None:
    clock = Clock()
    reader = ItemReader(redis, clock=clock)
    item_store.set_items(redis, ITEMS)
    reader.by_key([11])
    if lost == "flushed":
        redis.flushall()
    item_store.set_items(redis, [Item(11, "apple", title="Pear")])
    if lost == "too many changes":
        redis.delete(changes.CHANGED)
        redis.incrby(changes.COUNTER, changes.KEPT + 1)
    clock.now = 0.5
    assert [item and item.title for item in reader.by_key([11])] == ["Pear"]


def test_what_is_kept_is_bounded(redis: Redis) -> None:
    item_store.set_items(redis, ITEMS)
    reader = ItemReader(redis, 30.0, bound=3, clock=Clock())
    for _ in range(2):
        for key in KEYS.tolist():
            assert reader.by_key([key])[0] is not None
    item_store.set_items(redis, [msgspec.structs.replace(item, title="changed") for item in ITEMS])
    old = [item for item in reader.by_key(KEYS.tolist()) if item and item.title != "changed"]
    assert 1 <= len(old) <= 3


def test_the_newest_items_are_kept_for_a_while(redis: Redis) -> None:
    now = [0.0]
    reader = ItemReader(redis, item_seconds=30, clock=lambda: now[0])
    item_store.set_items(redis, [Item(1, "old"), Item(2, "away", available=False)])
    assert [item.item_id for item in reader.newest()] == ["old"]
    item_store.set_items(redis, [Item(3, "young")])
    now[0] = 0.4
    assert [item.item_id for item in reader.newest()] == ["old"]
    now[0] = 0.5
    assert [item.item_id for item in reader.newest()] == ["young", "old"]
