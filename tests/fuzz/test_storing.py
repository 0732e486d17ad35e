"""Whatever the contract lets in, both databases and Redis can hold, and give back as it was."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from redis import Redis
from sqlalchemy import Engine, delete

from graphstore.history import Selection
from graphstore.redis import hot, item_store
from graphstore.session import open_engine, write
from graphstore.tables import metadata
from stream import events
from stream.events import (
    CatalogItem,
    Identity,
    Impression,
    Interaction,
    InvalidEvent,
    ItemChange,
    Seen,
    UserAttributes,
    milliseconds,
)
from stream.replay import history_events
from stream.routes import Event
from stream.worker.sink import Sink
from tests.databases import Databases, migrated_sqlite
from tests.fuzz.messages import nearly_valid

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
EXAMPLES = 40

Store = Callable[[list[Any]], None]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, postgres: Databases) -> Iterator[list[Engine]]:
    """One database of each kind for all examples."""
    urls = [migrated_sqlite(tmp_path_factory.mktemp("fuzz") / "graph.db"), postgres.migrated()]
    made = [open_engine(url) for url in urls]
    yield made
    for engine in made:
        engine.dispose()


def comes_back(kept: list[Event], stores: list[Engine], redis: Redis) -> None:
    """Store the events and read them again; they must be distinct by what they are stored under."""
    for engine in stores:
        with write(engine) as connection:
            for table in metadata.sorted_tables:
                connection.execute(delete(table))
        redis.flushall()
        sink = Sink(engine, redis, recent_items=1000, trending_items=1000)
        _store(sink, kept)
        found = sorted(map(_shown, history_events(engine, Selection())))
        assert found == sorted(_shown(in_milliseconds(event)) for event in kept), engine.dialect.name
        _check_redis(redis, kept)


def _store(sink: Sink, kept: list[Any]) -> None:
    store: dict[type[Any], Callable[[], object]] = {
        Interaction: lambda: sink.store_interactions(kept, now=milliseconds(NOW)),
        Impression: lambda: sink.store_impressions(kept, now=milliseconds(NOW)),
        CatalogItem: lambda: sink.store_items(kept, now=milliseconds(NOW)),
        ItemChange: lambda: sink.store_items(kept, now=milliseconds(NOW)),
        UserAttributes: lambda: sink.store_attributes(kept, now=milliseconds(NOW)),
        Identity: lambda: sink.store_identities(kept, now=milliseconds(NOW)),
        Seen: lambda: sink.store_seen(kept, now=milliseconds(NOW)),
    }
    store[type(kept[0])]()
    sink.refresh_trending(now=milliseconds(NOW))


def _check_redis(redis: Redis, kept: list[Any]) -> None:
    if isinstance(kept[0], Interaction):
        for event in kept:
            assert event.item_id in hot.seen(redis, event.user_id)
            assert event.item_id in dict(hot.recent(redis, event.user_id, 1000))
    elif isinstance(kept[0], CatalogItem):
        for event, item in zip(kept, item_store.get_items(redis, [event.item_id for event in kept]), strict=True):
            assert item is not None
            assert (item.title, item.categories, item.price) == (event.title, event.categories, event.price)


def _shown(event: Event) -> str:
    """All of the event, types included; the sign of a zero and the order of attributes are nobody's concern."""
    return json.dumps(_plain(msgspec.to_builtins(event)), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(content) for name, content in value.items()}
    if isinstance(value, list):
        return [_plain(content) for content in value]
    return value + 0.0 if isinstance(value, float) else value


def in_milliseconds(event: Event) -> Event:
    """The event as the store keeps it: its time in UTC and whole milliseconds, a list by position, as what is seen."""
    kept = msgspec.structs.replace(event, event_time=events.utc(milliseconds(event.event_time)))
    if isinstance(kept, Impression):
        return msgspec.structs.replace(kept, items=sorted(kept.items, key=lambda item: item.position))
    if isinstance(kept, Seen):
        return msgspec.structs.replace(kept, positions=sorted(set(kept.positions)))
    return kept


def decoded(kind: type[Any], raws: list[bytes]) -> list[Any]:
    found = []
    for raw in raws:
        try:
            found.append(events.decode(raw, kind, now=NOW))
        except InvalidEvent:
            continue
    return found


def unique(found: list[Any], *names: str) -> list[Any]:
    return list({tuple(getattr(event, name) for name in names): event for event in found}.values())


many = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, *HealthCheck]
)


@many
@given(st.lists(nearly_valid(Interaction), min_size=1, max_size=8))
def test_interactions(stores: list[Engine], redis: Redis, raws: list[bytes]) -> None:
    kept = unique(decoded(Interaction, raws), "event_id")
    assume(kept)
    comes_back(kept, stores, redis)


@many
@given(st.lists(nearly_valid(Impression), min_size=1, max_size=6))
def test_impressions(stores: list[Engine], redis: Redis, raws: list[bytes]) -> None:
    kept = [event for event in unique(decoded(Impression, raws), "request_id") if event.items]
    assume(kept)
    comes_back(kept, stores, redis)


@many
@given(st.lists(nearly_valid(Seen), min_size=1, max_size=6))
def test_what_is_seen(stores: list[Engine], redis: Redis, raws: list[bytes]) -> None:
    kept = unique(decoded(Seen, raws), "request_id")
    assume(kept)
    comes_back(kept, stores, redis)


@many
@given(st.lists(nearly_valid(CatalogItem), min_size=1, max_size=8))
def test_catalogue(stores: list[Engine], redis: Redis, raws: list[bytes]) -> None:
    kept = unique(decoded(CatalogItem, raws), "item_id")
    assume(kept)
    comes_back(kept, stores, redis)


@many
@given(st.lists(nearly_valid(ItemChange), min_size=1, max_size=8))
def test_changes(stores: list[Engine], redis: Redis, raws: list[bytes]) -> None:
    kept = unique(decoded(ItemChange, raws), "item_id")
    assume(kept)
    comes_back(kept, stores, redis)


@many
@given(st.lists(nearly_valid(UserAttributes), min_size=1, max_size=8))
def test_attributes(stores: list[Engine], redis: Redis, raws: list[bytes]) -> None:
    kept = unique(decoded(UserAttributes, raws), "user_id")
    assume(kept)
    comes_back(kept, stores, redis)


@many
@given(st.lists(nearly_valid(Identity), min_size=1, max_size=8))
def test_logins(stores: list[Engine], redis: Redis, raws: list[bytes]) -> None:
    kept = [event for event in unique(decoded(Identity, raws), "anonymous_id") if event.anonymous_id != event.user_id]
    assume(kept)
    comes_back(kept, stores, redis)
