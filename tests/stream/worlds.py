"""Small random shops whose whole history is known, and what a store holds of them, by the shop's own ids."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from redis import Redis
from sqlalchemy import Engine, or_, select, text

from graphstore.redis import item_store
from graphstore.redis.changes import CHANGED, COUNTER
from graphstore.redis.fence import FENCE
from graphstore.session import read
from graphstore.tables import (
    COUNT_COLUMNS,
    edges,
    identities,
    impressions,
    interactions,
    item_buckets,
    items,
    seen_items,
    users,
)
from stream.events import (
    CatalogItem,
    EventType,
    Identity,
    Impression,
    ImpressionItem,
    Interaction,
    ItemChange,
    Seen,
    UserAttributes,
    milliseconds,
)
from stream.routes import Event
from stream.worker.sink import Sink

TIME = datetime(2026, 1, 5, 12, tzinfo=UTC)
NOW = milliseconds(TIME + timedelta(days=40))

STRANGE = ("ü", "日本", "😀", 'a"b', "a\\u0000b", "tab\tend", " ", "-1", "null", "%s", ":x", "\x7f", "e\u0301")
"""Ids that somebody's shop has."""


def random_events(rng: random.Random, count: int) -> list[Event]:
    """A history of all kinds, in the order of its times more or less, with repetitions, ties and late words."""
    shoppers = [f"u{n}" for n in range(6)] + list(STRANGE[:4])
    sessions = [f"s{n}" for n in range(5)]
    shelf = [f"i{n}" for n in range(9)] + list(STRANGE[4:])
    found: list[Event] = []
    for number in range(count):
        time = TIME + timedelta(minutes=rng.randrange(60 * 24 * 30), milliseconds=rng.randrange(1000))
        kind = rng.random()
        if kind < 0.6:
            found.append(_interaction(rng, number, rng.choice(shoppers + sessions), rng.choice(shelf), time))
        elif kind < 0.7:
            found.append(_catalog_item(rng, rng.choice(shelf), time))
        elif kind < 0.75:
            found.append(_item_change(rng, rng.choice(shelf), time))
        elif kind < 0.85:
            attributes: dict[str, str | bool | int | float] = {
                rng.choice(["city", "age", "vip", "Größe"]): rng.choice(["Zürich", "", 41, 1.5, True, 2**70, -0.5])
                for _ in range(rng.randrange(3))
            }
            found.append(UserAttributes(user_id=rng.choice(shoppers), attributes=attributes, event_time=time))
        elif kind < 0.92:
            who = rng.choice(shoppers[:4] + sessions[:2])
            found.append(Identity(anonymous_id=rng.choice(sessions), user_id=who, event_time=time))
        elif kind < 0.96:
            found.append(_impression(rng, f"r{number}", rng.choice(shoppers), shelf, time))
        else:
            positions = rng.sample(range(12), k=rng.randrange(1, 5))
            request = f"r{rng.randrange(count // 10)}"
            found.append(Seen(request_id=request, user_id=rng.choice(shoppers), positions=positions, event_time=time))
    return found + rng.sample(found, k=count // 10)


def _interaction(rng: random.Random, number: int, user: str, item: str, time: datetime) -> Interaction:
    listed = rng.random() < 0.2
    return Interaction(
        event_id=f"e{number}{rng.choice(STRANGE)}",
        event_type=rng.choice(list(EventType)),
        user_id=user,
        item_id=item,
        event_time=time,
        value=rng.choice([None, 0.1, 5.0, -3.25, 1e300, 5e-324]),
        quantity=rng.choice([None, 1, 2, 1_000_000]),
        request_id=f"r{number}" if listed else None,
        position=rng.choice([None, 0, 7]) if listed else None,
        order_id=rng.choice([None, None, *STRANGE]),
        currency=rng.choice([None, "EUR", "JPY"]),
    )


def _catalog_item(rng: random.Random, item: str, time: datetime) -> CatalogItem:
    if rng.random() < 0.2:
        return CatalogItem(item_id=item, available=False, event_time=time)
    return CatalogItem(
        item_id=item,
        title=rng.choice(STRANGE),
        categories=rng.sample(STRANGE, k=rng.randrange(4)),
        brand=rng.choice(["", "Brand"]),
        price=rng.choice([None, 0.0, 19.99]),
        available=rng.random() < 0.8,
        event_time=time,
    )


def _item_change(rng: random.Random, item: str, time: datetime) -> ItemChange:
    changes: dict[str, Any] = {
        "title": rng.choice(STRANGE),
        "price": rng.choice([None, 5.0]),
        "available": rng.random() < 0.8,
        "stock": rng.choice([None, 0, 3]),
        "attributes": {rng.choice(["colour", "Größe"]): rng.choice([None, "red", 1, 1.0, True]) for _ in range(2)},
    }
    some = {name: changes[name] for name in rng.sample(list(changes), k=rng.randrange(1, 4))}
    return ItemChange(item_id=item, event_time=time, **some)


def _impression(rng: random.Random, request: str, user: str, shelf: list[str], time: datetime) -> Impression:
    return Impression(
        request_id=request,
        user_id=user,
        slot=rng.choice(["home", "cart"]),
        event_time=time,
        model_version="m1",
        variant="champion",
        items=[
            ImpressionItem(
                item_id=item, position=position, score=rng.gauss(0, 3), propensity=rng.random() or 1.0, source="batch"
            )
            for position, item in enumerate(rng.sample(shelf, k=rng.randrange(1, 6)))
        ],
        confirmed=rng.random() < 0.5,
        robot=rng.random() < 0.2,
        client=rng.choice(["", "9f86d081884c7d659a2feaa0c55ad015"]),
    )


def live(sink: Sink, history: list[Event], rng: random.Random) -> None:
    """Store the history as a worker would: event by event in small batches, as the topics give them."""
    kinds: dict[type[Any], Any] = {
        Interaction: sink.store_interactions,
        CatalogItem: sink.store_items,
        ItemChange: sink.store_items,
        UserAttributes: sink.store_attributes,
        Identity: sink.store_identities,
        Impression: sink.store_impressions,
        Seen: sink.store_seen,
    }
    waiting: dict[type[Any], list[Event]] = {kind: [] for kind in kinds}
    for event in history:
        waiting[type(event)].append(event)
        if rng.random() < 0.2:
            kind = rng.choice(list(kinds))
            kinds[kind](waiting[kind], now=NOW)
            waiting[kind] = []
    for kind, rest in waiting.items():
        kinds[kind](rest, now=NOW)
    sink.store_items([], {"i0": NOW, "never sold": NOW}, now=NOW)
    sink.store_attributes([], {"u0": NOW}, now=NOW)
    sink.refresh_trending(now=NOW)


def tables(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the graph under external ids, sorted: what a replay must give again."""
    person = users.alias()
    spoken_for = or_(users.c.updated_at != 0, users.c.person_key.is_not(None), users.c.user_key.in_(_seen()))
    queries = {
        "users": select(users.c.user_id, person.c.user_id, users.c.attributes, users.c.updated_at)
        .join(person, person.c.user_key == users.c.person_key, isouter=True)
        .where(spoken_for),
        "identities": select(identities),
        "items": select(*[column for column in items.c if column.name != "item_key"]),
        "interactions": select(
            users.c.user_id,
            items.c.item_id,
            *[c for c in interactions.c if c.name not in {"interaction_key", "user_key", "item_key", "ingest_time"}],
        )
        .join_from(interactions, users, users.c.user_key == interactions.c.user_key)
        .join(items, items.c.item_key == interactions.c.item_key),
        "edges": select(
            users.c.user_id,
            items.c.item_id,
            *[edges.c[name] for name in COUNT_COLUMNS],
            edges.c.first_time,
            edges.c.last_time,
        )
        .join_from(edges, users, users.c.user_key == edges.c.user_key)
        .join(items, items.c.item_key == edges.c.item_key),
        "item_buckets": select(
            item_buckets.c.hour, items.c.item_id, *[item_buckets.c[name] for name in COUNT_COLUMNS]
        ).join_from(item_buckets, items, items.c.item_key == item_buckets.c.item_key),
        "impressions": select(impressions),
        "seen_items": select(seen_items),
    }
    with read(engine) as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(query)), key=repr) for name, query in queries.items()
        }


def _seen() -> Any:
    return select(interactions.c.user_key)


def row_counts(engine: Engine) -> dict[str, int]:
    """How many rows each of those tables has."""
    with read(engine) as connection:
        return {
            table.name: int(connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one())
            for table in (users, identities, items, interactions, edges, item_buckets, impressions, seen_items)
        }


def hot_content(redis: Redis) -> dict[str, Any]:
    """Every key of Redis with its content; integer keys, which a database chooses for itself, are left out.

    So are the numbers of changes, and `shown:`, which forgets with the items that `recent:` forgets.
    """
    found: dict[str, Any] = {}
    for key in sorted(redis.keys()):
        name, kind = key.decode(), redis.type(key).decode()
        if name in (FENCE, CHANGED, COUNTER) or name.startswith("shown:"):
            continue  # the database counts its generations for itself, too
        if name == item_store.NEWEST:
            found[name] = set(redis.zrange(key, 0, -1))
        elif kind == "zset":
            found[name] = redis.zrange(key, 0, -1, withscores=True)
        elif kind == "set":
            found[name] = redis.smembers(key)
        elif kind == "hash":
            found[name] = sorted(redis.hvals(key))
        else:
            item = json.loads(redis.get(key))
            item.pop("item_key", None)
            found[name] = item
    return found


def truncated(event: Event) -> Event:
    """The event with its time in whole milliseconds, as the store keeps it."""
    return msgspec.structs.replace(
        event, event_time=event.event_time.replace(microsecond=event.event_time.microsecond // 1000 * 1000)
    )
