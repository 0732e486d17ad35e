import pytest

from serving.web.limits import (
    ADDRESSES_AT_ONCE,
    LOOPBACK,
    ImpressionLimit,
    ListLimit,
    TokenBuckets,
    client_group,
    is_within,
)


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_what_counts_as_one_client(address: str, group: str) -> None:
    assert client_group(address) == group


def test_an_address_within_networks() -> None:
    assert is_within("127.0.0.9", LOOPBACK)
    assert is_within("::ffff:127.0.0.1", LOOPBACK)
    assert is_within("10.2.3.4", ("10.0.0.0/8",))
    assert not is_within("11.2.3.4", ("10.0.0.0/8", "::1"))
    assert not is_within("", LOOPBACK)


def test_each_key_has_a_burst_and_then_its_rate() -> None:
    now = [0.0]
    buckets = TokenBuckets(5.0, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(11)] == [True] * 10 + [False]
    assert buckets.take("b")
    now[0] += 0.5
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]
    now[0] += 3600.0
    assert [buckets.take("a") for _ in range(11)] == [True] * 10 + [False]


def test_memory_is_bounded_by_the_number_of_addresses() -> None:
    buckets = TokenBuckets(1.0, bound=3, clock=lambda: 0.0)
    for key in "abcab":
        buckets.take(key)
    assert not buckets.take("a")
    assert buckets.take("d")
    assert buckets.take("e")
    assert not buckets.take("a")
    assert buckets.take("c")  # forgotten for `d`, so its bucket is full again


def test_without_a_rate_there_is_no_bound() -> None:
    buckets = TokenBuckets(0.0, clock=lambda: 0.0)
    assert all(buckets.take("a") for _ in range(1000))


def test_impressions_are_bounded_by_address_and_in_all() -> None:
    now = [0.0]
    limit = ImpressionLimit(10.0, clock=lambda: now[0])  # one a second for each address, two at once
    assert [limit.allow("203.0.113.1") for _ in range(3)] == [True, True, False]
    logged = sum(limit.allow(f"198.51.100.{number}") for number in range(100) for _ in range(2))
    assert logged == 2 * ADDRESSES_AT_ONCE - 2
    assert all(limit.allow("127.0.0.1") for _ in range(100))
    now[0] += 2.0
    assert limit.allow("203.0.113.1")


def test_many_lists_at_once_cost_as_much_as_many_requests() -> None:
    time = [0.0]
    limit = ListLimit(1.0, clock=lambda: time[0])
    assert [limit.allow("203.0.113.7", 4) for _ in range(3)] == [True, True, False]
    assert limit.allow("203.0.113.8", 20)
    time[0] = 1.0
    assert limit.allow("203.0.113.7", 20)  # more than a bucket holds: the next ones owe it
    time[0] = 5.0
    assert not limit.allow("203.0.113.7", 1)
    time[0] = 5.5
    assert limit.allow("203.0.113.7", 1)
    assert all(limit.allow("127.0.0.1", 20) for _ in range(99))
