"""Requests for a retrain on their way through Redis."""

import pytest
from redis import Redis

from graphstore.redis.asked import ASKED, MAX_ASKED, Asked, NotAsked, ask, decode, raw_requests, take_off


def request(number: int) -> Asked:
    return Asked(requested_by="api", reason=f"söon {number}", asked_at=number, full=number % 2 == 0)


def test_requests_come_out_in_their_order_until_they_are_taken_off(redis: Redis) -> None:
    for number in range(3):
        ask(redis, request(number))
    raw = raw_requests(redis)
    assert [decode(one) for one in raw] == [request(number) for number in range(3)]
    take_off(redis, raw[0])
    take_off(redis, raw[0])
    assert raw_requests(redis) == raw[1:]


def test_the_list_is_bounded_and_the_newest_stay(redis: Redis) -> None:
    for number in range(MAX_ASKED + 2):
        ask(redis, request(number))
    found = [decode(one).asked_at for one in raw_requests(redis)]
    assert found == list(range(2, MAX_ASKED + 2))


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b'{"requested_by":"a","reason":1,"asked_at":1}'])
def test_what_is_no_request_is_told(redis: Redis, raw: bytes) -> None:
    redis.rpush(ASKED, raw)
    (found,) = raw_requests(redis)
    with pytest.raises(NotAsked):
        decode(found)
    with pytest.raises(NotAsked, match="501 characters"):
        decode(b'{"requested_by":"a","reason":"%s","asked_at":1}' % (b"x" * 501))
