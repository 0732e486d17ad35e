"""Pointer and routing follow the registry together, whoever switches and whatever happens in between."""

from math import inf

from redis import Redis

from serving import cache
from serving.routing import ROUTING, Routing, encode, probation
from serving.routing_source import Wanted
from serving.switch import MARGIN_MS, switch, whole

KEPT = Routing((probation("m1", 0.1, salt="p"),), "m2")
NOW = 1_000


def serves(redis: Redis, version: str, routing: Routing | None = None) -> None:
    redis.mset({cache.CHAMPION: version, ROUTING: encode(routing or Routing((), version))})


def test_readers_follow_when_the_lists_are_whole_and_not_before(redis: Redis) -> None:
    wanted = Wanted("m2", KEPT)
    assert switch(redis, lambda: wanted, now=NOW) is None
    assert cache.served(redis) is None
    assert switch(redis, lambda: wanted, now=NOW, written="m2") == wanted
    assert cache.served(redis) == cache.Served("m2", Routing((), "m2"))  # the lists of m1 are not there yet
    assert switch(redis, lambda: wanted, now=NOW, written="m1") == wanted
    assert cache.served(redis) == cache.Served("m2", KEPT)
    assert whole(redis) == {"m1": inf, "m2": inf}


def test_a_rollback_is_served_from_lists_that_still_live(redis: Redis) -> None:
    serves(redis, "m2")
    redis.zadd(cache.WHOLE, {"m2": inf, "m1": NOW + MARGIN_MS})
    back = Wanted("m1", Routing((), "m1"))
    assert switch(redis, lambda: back, now=NOW) is None  # they may end before the publisher has written new ones
    assert switch(redis, lambda: back, now=NOW - 1) == back
    assert cache.served(redis) == cache.Served("m1", Routing((), "m1"))


def test_without_a_champion_nothing_is_switched(redis: Redis) -> None:
    serves(redis, "m2")
    assert switch(redis, lambda: None, now=NOW, written="m1") is None
    assert cache.champion(redis) == "m2"
    assert whole(redis) == {"m1": inf}


def test_a_publication_that_ends_after_a_rollback_does_not_undo_it(redis: Redis) -> None:
    """The registry wants m2 until somebody rolls back to m1 between the publisher's look and its write."""
    serves(redis, "m1")
    redis.zadd(cache.WHOLE, {"m1": inf})
    answers = [Wanted("m2"), Wanted("m1", Routing((), "m1"))]

    def registry() -> Wanted:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer.champion == "m2":
            serves(redis, "m1", Routing((), "m1"))  # the other's switch
        return answer

    assert switch(redis, registry, now=NOW, written="m2") == Wanted("m1", Routing((), "m1"))
    assert cache.champion(redis) == "m1"
    assert whole(redis) == {"m1": inf, "m2": inf}
