"""What a shopper was shown: the same whatever comes twice, and in whatever order."""

import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from graphstore.redis import hot
from graphstore.redis.fence import FENCE, Overtaken
from graphstore.redis.lifetime import DAY_MS, Lifetime
from graphstore.redis.shown import MAX_ITEMS, MAX_TIMES, SHOWN_DAYS, counts, record


def packed(time: int) -> bytes:
    return struct.pack("<I", time // 1000)


NOW = 1_700_000_000_000
LIFETIME = Lifetime(NOW)


def read(redis: Redis, user: str = "u", now: int = NOW) -> dict[str, int]:
    return counts("shown", redis.hgetall(hot.shown_key(user)), now=now)


def test_a_list_counts_once_and_two_lists_twice(redis: Redis) -> None:
    first, second = [("u", "a", NOW - 5_000), ("u", "b", NOW - 5_000)], [("u", "a", NOW)]
    for lists in (first, first, second, first, second):
        record(redis, lists, LIFETIME)
    assert read(redis) == {"a": 2, "b": 1}
    assert read(redis, "nobody") == {}


def test_an_event_with_the_item_begins_anew(redis: Redis) -> None:
    record(redis, [("u", "a", NOW - 5_000), ("u", "b", NOW - 5_000)], LIFETIME)
    hot.record(redis, [("u", "a", NOW - 3_000)], keep=5)
    assert read(redis) == {"b": 1}
    record(redis, [("u", "a", NOW - 5_000)], LIFETIME)  # delivered again
    assert read(redis) == {"b": 1}
    record(redis, [("u", "a", NOW)], LIFETIME)
    assert read(redis) == {"a": 1, "b": 1}


steps = st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.integers(0, 20_000)), max_size=12)


@given(steps, st.integers(0, 1000))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_order_and_no_repetition_matters(redis: Redis, steps: list[tuple[bool, str, int]], seed: int) -> None:
    redis.flushall()
    for clicked, item, time in [*steps, *random.Random(seed).sample(steps, len(steps))]:
        if clicked:
            hot.record(redis, [("u", item, NOW + time)], keep=5)
        else:
            record(redis, [("u", item, NOW + time)], LIFETIME)
    expected = {}
    for item in "ab":
        last = max((time // 1000 for clicked, of, time in steps if clicked and of == item), default=-1)
        times = {time // 1000 for clicked, of, time in steps if not clicked and of == item}
        expected[item] = len([time for time in times if time > last])
    assert read(redis, now=NOW + 20_000) == {item: count for item, count in expected.items() if count}


def test_times_and_items_are_bounded(redis: Redis) -> None:
    record(redis, [("u", "a", NOW + n * 1000) for n in range(MAX_TIMES + 9)], LIFETIME)
    assert read(redis) == {"a": MAX_TIMES}
    record(redis, [("u", f"i{n}", NOW + n * 1000) for n in range(MAX_ITEMS + 1)], LIFETIME)
    found = read(redis)
    assert len(found) == MAX_ITEMS
    assert "i0" not in found
    assert redis.hget(hot.shown_key("u"), "i7") == packed(NOW + 7_000)


def test_it_expires_after_the_last_list_and_older_lists_do_not_count(redis: Redis) -> None:
    record(redis, [("u", "a", NOW - DAY_MS)], LIFETIME)
    record(redis, [("v", "a", NOW - 30 * DAY_MS)], LIFETIME)
    record(redis, [("u", "b", NOW - 2 * DAY_MS)], LIFETIME)  # a late one does not shorten it
    assert 29 * DAY_MS - 5_000 < int(redis.pttl(hot.shown_key("u"))) <= 29 * DAY_MS
    assert not redis.exists(hot.shown_key("v"))
    assert read(redis, now=NOW + (SHOWN_DAYS - 1) * DAY_MS - 1) == {"a": 1}


def test_a_login_refuses_what_was_read_before_it(redis: Redis) -> None:
    redis.set(FENCE, 2)
    with pytest.raises(Overtaken):
        record(redis, [("u", "a", NOW)], LIFETIME, generation=1)
    assert not redis.exists(hot.shown_key("u"))


def test_what_is_no_time_is_left_out() -> None:
    assert counts("shown:u", {b"a": b"12345", b"\xff": packed(NOW), b"b": packed(NOW)}, now=NOW) == {"b": 1}
