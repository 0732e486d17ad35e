"""A small shop with a session, somebody with many items, and all that may happen to it at a bad moment."""

from collections.abc import Callable

from redis import Redis
from sqlalchemy import Engine

from graphstore import queries
from graphstore.erase import erase_person
from graphstore.redis import hot, rebuild_people
from graphstore.redis.lifetime import Lifetime
from graphstore.session import read
from stream.events import EventType, Identity, Interaction, utc
from stream.worker.sink import Sink

T0 = 1_700_000_000_000
KEEP = 3
LIFETIME = Lifetime(T0)


class Shop:
    """Ann has a session `a1`, Bob none; everybody touched something."""

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self.engine, self.redis = engine, redis
        self.sink = Sink(engine, redis, recent_items=KEEP, trending_items=KEEP)
        self.login("a1", "ann", T0 + 50)
        for time, (user, item) in enumerate(
            [("ann", "i1"), ("a1", "i2"), ("bob", "i3"), ("b1", "i4"), *(("cyd", f"i{n}") for n in range(9))]
        ):
            self.touch(user, item, T0 + time)

    def touch(self, user: str, item: str, time: int) -> None:
        event = Interaction(
            event_id=f"{user}{item}{time}", event_type=EventType.VIEW, user_id=user, item_id=item, event_time=utc(time)
        )
        self.sink.store_interactions([event], now=time)

    def login(self, session: str, user: str, time: int) -> None:
        self.sink.store_identities([Identity(anonymous_id=session, user_id=user, event_time=utc(time))], now=time)

    def erase(self, user: str) -> None:
        hot.forget(self.redis, erase_person(self.engine, user, now=T0).ids)

    def rebuild(self) -> rebuild_people.PeopleRebuilt:
        return rebuild_people.rebuild_people(
            self.engine, self.redis, keep=KEEP, lifetime=lambda: LIFETIME, alive=lambda done: None
        )

    def keys(self) -> dict[str, tuple[dict[str, int], set[str]]]:
        """Recent and seen of everybody who has either."""
        users = {key.decode().partition(":")[2] for key in self.redis.keys("recent:*") + self.redis.keys("seen:*")}
        return {user: (dict(hot.recent(self.redis, user, 99)), hot.seen(self.redis, user)) for user in users}

    def expected(self) -> dict[str, tuple[dict[str, int], set[str]]]:
        """The same from SQL, one person at a time."""
        with read(self.engine) as connection:
            times = {user: queries.item_times(connection, user) for _, user in queries.all_users(connection)}
        return {
            user: (dict(sorted(of.items(), key=lambda pair: (pair[1], pair[0]))[-KEEP:]), set(of))
            for user, of in times.items()
            if of
        }


Act = Callable[[Shop], None]

ACTS: dict[str, Act] = {
    "an event comes": lambda shop: shop.touch("bob", "i9", T0 + 99),
    "somebody new comes": lambda shop: shop.touch("dan", "i9", T0 + 99),
    "somebody is forgotten": lambda shop: shop.erase("bob"),
    "a person with a session is forgotten": lambda shop: shop.erase("a1"),
    "a session logs in": lambda shop: shop.login("b1", "bob", T0),
    "a person turns out to be a session": lambda shop: shop.login("bob", "ann", T0),
    "a session was somebody else's": lambda shop: shop.login("a1", "bob", T0),
    "somebody with many items logs in": lambda shop: shop.login("cyd", "bob", T0),
    "somebody with many items is forgotten": lambda shop: shop.erase("cyd"),
}
