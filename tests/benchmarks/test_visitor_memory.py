"""The measured visitor has every kind of key, each of which takes room and expires."""

from redis import Redis

from benchmarks.visitor_memory import measure
from graphstore.redis import hot


def test_a_visitor_has_all_keys_and_they_expire(redis: Redis) -> None:
    found = measure(redis, 300)
    assert set(found) == {"recent, seen", "bought", "shown", "near", "all"}
    assert all(0 < number < 10_000 for number in found.values())
    keys = [key for key in redis.scan_iter() if b"visitor-00000007" in key]
    assert {key.partition(b":")[0] for key in keys} == {b"recent", b"seen", b"bought", b"shown", b"near"}
    assert all(int(redis.ttl(key)) > 0 for key in keys)
    assert len(hot.recent(redis, "visitor-00000007", 99)) == 10
