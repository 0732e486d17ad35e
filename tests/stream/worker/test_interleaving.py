"""Two processes on one shopper: the second acts between any two steps of the first, which then goes on or dies.

A step is one transaction of SQL or one call to Redis. What died is delivered again, in a batch of another composition.
Afterwards Redis must hold what SQL holds.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis
from redis.client import Pipeline
from sqlalchemy import Engine, event

from graphstore import queries
from graphstore.erase import erase_person
from graphstore.redis import hot
from graphstore.session import read
from stream.events import EventType, Identity, Interaction, utc
from stream.worker.sink import Sink

T0 = 1_700_000_000_000
KEEP = 3

numbers = itertools.count()


class Killed(BaseException):
    """SIGKILL, as far as a test in one process can have it."""


class World:
    """Ann and Bob with many items; the session belongs to Ann, and touched one of her items later than she did.

    Each world has shoppers of its own, so that all can share one database.
    """

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self.engine, self.redis = engine, redis
        self.sink = Sink(engine, redis, recent_items=KEEP, trending_items=KEEP)
        self.number = next(numbers)
        self.login("session", "ann", 50)
        self.touch(*((user, f"i{n}", n) for user in ("ann", "bob") for n in range(5)))
        self.touch(("session", "i0", 40), ("session", "s0", 41), ("other", "o0", 42))

    def touch(self, *touches: tuple[str, str, int]) -> None:
        events = [
            Interaction(
                event_id=f"{self.id(user)}{item}{time}",
                event_type=EventType.VIEW,
                user_id=self.id(user),
                item_id=item,
                event_time=utc(T0 + time),
            )
            for user, item, time in touches
        ]
        self.sink.store_interactions(events, now=T0)

    def login(self, session: str, user: str, time: int) -> None:
        event = Identity(anonymous_id=self.id(session), user_id=self.id(user), event_time=utc(T0 + time))
        self.sink.store_identities([event], now=T0)

    def id(self, user: str) -> str:
        return f"{user}{self.number}"

    def wrong(self) -> dict[str, Any]:
        """Return the keys that differ from SQL: what they hold, and what they must hold."""
        found = {}
        for user in map(self.id, ("ann", "bob", "session", "other")):
            with read(self.engine) as connection:
                persons = {name for _, name in queries.all_users(connection)}
                times = queries.item_times(connection, user) if user in persons else {}
            newest = sorted(times.items(), key=lambda pair: (pair[1], pair[0]))[-KEEP:]
            now = dict(hot.recent(self.redis, user, 99)), hot.seen(self.redis, user)
            if now != (dict(newest), set(times)):
                found[user] = (now, (dict(newest), set(times)))
        return found


Act = Callable[[World], None]

FIRST: dict[str, Act] = {
    "a touch of the person": lambda world: world.touch(("ann", "i0", 35), ("bob", "i1", 60)),
    "a touch of the session": lambda world: world.touch(("session", "i3", 60)),
    "a touch of a session that nobody knows": lambda world: world.touch(("other", "i3", 60)),
    "a login that moves the session": lambda world: world.login("session", "bob", 1),
    "a login of a new session": lambda world: world.login("other", "ann", 1),
}

SECOND: dict[str, Act] = {
    **FIRST,
    "a login that closes a circle": lambda world: world.login("ann", "session", 1),
    "an erasure": lambda world: erase(world, "bob"),
}


def erase(world: World, user: str) -> None:
    ids = erase_person(world.engine, world.id(user), now=T0).ids
    hot.forget(world.redis, ids)


@contextmanager
def at_step(engine: Engine, number: int, then: Callable[[], None]) -> Iterator[list[int]]:
    """Call `then` before the step of this number (from 0). The value counts the steps."""
    steps = [0]
    command, execute = Redis.execute_command, Pipeline.execute

    def step() -> None:
        steps[0] += 1
        if steps[0] == number + 1:
            then()

    def begin(*_: Any) -> None:
        step()

    def commanded(redis: Any, *arguments: Any, **settings: Any) -> Any:
        step()
        return command(redis, *arguments, **settings)

    def executed(pipeline: Any, *arguments: Any, **settings: Any) -> Any:
        step()
        return execute(pipeline, *arguments, **settings)

    event.listen(engine, "begin", begin)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Redis, "execute_command", commanded)
        patch.setattr(Pipeline, "execute", executed)
        try:
            yield steps
        finally:
            event.remove(engine, "begin", begin)


@pytest.mark.parametrize("dies", [False, True], ids=["goes on", "dies"])
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_redis_is_as_sql(sqlite_engine: Engine, redis: Redis, first: str, second: str, dies: bool) -> None:
    for number in itertools.count():
        world = World(sqlite_engine, redis)

        def then(world: World = world) -> None:
            SECOND[second](world)
            if dies:
                raise Killed

        with at_step(sqlite_engine, number, then) as steps:
            try:
                FIRST[first](world)
            except Killed:
                world.touch(("other", "o1", 70), ("ann", "i4", 71))
                FIRST[first](world)
        assert not world.wrong(), f"at step {number}"
        if steps[0] <= number:
            break
    assert number >= 3
