"""Errands on their way from the dashboard to the monitor, and what is told of them."""

import pytest
from redis import Redis

from graphstore.redis import errands
from graphstore.redis.errands import DONE, FAILED, LIST, MAX_WAITING, RUNNING, WAITING, NotAsked, ask, decode, tell


def put(redis: Redis, kind: str = "export", subject: str = "u1", now: int = 5) -> str:
    return ask(redis, kind, subject, who="admin", now=now)


def oldest(redis: Redis) -> errands.Errand:
    raw = errands.first(redis)
    assert raw is not None
    return decode(raw)


def test_an_errand_waits_in_its_order_until_it_is_taken_off(redis: Redis) -> None:
    ids = [put(redis, subject=f"ü{number}") for number in range(3)]
    assert [one.id for one in errands.newest(redis)] == ids[::-1]
    assert {one.state for one in errands.newest(redis)} == {WAITING}
    found = oldest(redis)
    assert (found.id, found.kind, found.subject, found.who, found.asked_at) == (ids[0], "export", "ü0", "admin", 5)
    raw = errands.first(redis)
    assert raw is not None
    errands.take_off(redis, raw)
    assert oldest(redis).id == ids[1]
    assert errands.waiting(redis) == 2


def test_an_equal_errand_is_not_put_twice_before_the_first_has_ended(redis: Redis) -> None:
    redis.rpush(LIST, b"\xff no errand")
    first = put(redis)
    assert put(redis, now=9) == first
    assert put(redis, "forget") != first
    assert errands.waiting(redis) == 3


def test_too_many_are_refused_and_none_is_lost(redis: Redis) -> None:
    for number in range(MAX_WAITING):
        put(redis, subject=str(number))
    with pytest.raises(NotAsked, match="does the monitor run"):
        put(redis, subject="one more")
    assert oldest(redis).subject == "0"
    assert errands.waiting(redis) == MAX_WAITING


@pytest.mark.parametrize(
    ("kind", "subject", "who"),
    [
        ("drop_tables", "x", "admin"),
        ("forget", "", "admin"),
        ("export", "x" * 501, "admin"),
        ("forget", "a\0b", "admin"),
        ("retrain", "", ""),
        ("retrain", "", "w" * 65),
    ],
)
def test_what_is_not_allowed_is_not_put(redis: Redis, kind: str, subject: str, who: str) -> None:
    with pytest.raises(NotAsked):
        ask(redis, kind, subject, who=who, now=1)
    assert errands.waiting(redis) == 0


def test_what_became_of_it_is_told_and_expires(redis: Redis) -> None:
    name = put(redis)
    errand = oldest(redis)
    tell(redis, errand, RUNNING, now=6, attempts=1)
    told = errands.state(redis, name)
    assert told is not None and (told.state, told.attempts, told.changed_at) == (RUNNING, 1, 6)
    tell(redis, errand, DONE, "x" * 5000, now=7, attempts=1, result=b"{}")
    told = errands.state(redis, name)
    assert told is not None and told.has_result and len(told.said) == errands.MAX_SAID
    assert errands.result(redis, name) == b"{}"
    assert 0 < int(redis.ttl(errands.result_key(name))) <= errands.RESULT_SECONDS
    assert 0 < int(redis.ttl(errands.state_key(name))) <= errands.STATE_SECONDS
    assert errands.state(redis, "unknown") is None
    assert errands.result(redis, "unknown") is None
    with pytest.raises(NotAsked, match="larger than"):
        tell(redis, errand, DONE, now=8, result=b"x" * (errands.MAX_RESULT_BYTES + 1))


def test_a_forgotten_shopper_is_named_no_more(redis: Redis) -> None:
    exported = put(redis, "export", "s1")
    tell(redis, oldest(redis), DONE, now=6, result=b"all of it")
    other = put(redis, "export", "other")
    name = put(redis, "forget", "u1")
    raw = redis.lindex(LIST, 2)
    assert isinstance(raw, bytes)
    tell(redis, decode(raw), DONE, "forgotten", now=7)
    assert errands.drop_of(redis, {"u1", "s1"}) == 1
    assert errands.result(redis, exported) is None
    assert [(one.id, one.subject) for one in errands.newest(redis)] == [(name, ""), (other, "other")]


def test_a_forgotten_shopper_is_named_no_more_however_many_errands_came_later(redis: Redis) -> None:
    failed = put(redis, "forget", "s1")
    tell(redis, oldest(redis), FAILED, "no disk", now=6)
    errands.take_off(redis, redis.lindex(LIST, 0))
    exported = put(redis, "export", "u1")
    tell(redis, oldest(redis), DONE, now=7, result=b"all of it")
    errands.take_off(redis, redis.lindex(LIST, 0))
    for number in range(errands.KEPT):
        put(redis, "export", f"other {number}")
    waiting = put(redis, "export", "s1")
    assert errands.drop_of(redis, {"u1", "s1"}) == 3
    assert [errands.state(redis, name) for name in (failed, exported, waiting)] == [None] * 3
    assert errands.result(redis, exported) is None
    assert errands.waiting(redis) == errands.KEPT  # what waits for the shopper would name them again
    assert errands.drop_of(redis, {"u1", "s1"}) == 0


def test_the_ids_of_errands_are_known_as_long_as_their_states(redis: Redis) -> None:
    old = put(redis, "export", "u1", now=5)
    late = put(redis, "export", "u2", now=5 + errands.STATE_SECONDS * 1000)
    assert redis.zrange(errands.KNOWN, 0, -1) == [old.encode(), late.encode()]
    last = put(redis, "export", "u3", now=6 + errands.STATE_SECONDS * 1000)
    assert redis.zrange(errands.KNOWN, 0, -1) == [late.encode(), last.encode()]


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b'{"id":"a","kind":"rm","subject":"","who":"a","asked_at":1}'])
def test_what_is_no_errand_is_told(raw: bytes) -> None:
    with pytest.raises(NotAsked):
        decode(raw)


def test_a_state_that_cannot_be_read_counts_as_absent(redis: Redis) -> None:
    name = put(redis)
    redis.set(errands.state_key(name), b"\xff")
    assert errands.state(redis, name) is None
    assert errands.newest(redis) == []
