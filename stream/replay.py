"""Replay: sends history through the functions of live events, directly into the graph or to Kafka.

Arrives: the SQL log (`graphstore.history`), lines of a file (`stream.sources.files.event_lines`) or the events of a
data set. Leaves: rows and hot keys through `stream.worker.sink`, or messages on their topics, with their original ids
and times. Next: a graph equal to the graph of the live events.

Events are idempotent, so after a kill or an interruption the replay simply runs again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import Engine

from graphstore import history
from graphstore.history import Selection
from graphstore.identities import IdentityRow
from graphstore.ingest import InteractionRow
from graphstore.item_fields import ItemRow, changes, of_entry
from graphstore.upserts import ImpressionRow, SeenRow, UserRow
from stream import events
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
)
from stream.kafka.producer import EventProducer
from stream.routes import ROUTES, Event
from stream.worker.sink import Sink, Stored

BATCH_EVENTS = 2_000
"""Events in one transaction: enough to be cheap, few enough that a worker can write in between."""

PACED_SECONDS = 0.25
"""With a rate limit, a batch contains at most the events of this time, so that the flow is even."""


_E = TypeVar("_E")
_EVENT_TYPES = tuple(EventType)


@dataclass(frozen=True)
class Replayed:
    """The number of replayed events by topic, and the results for interactions."""

    sent: Mapping[str, int] = field(default_factory=dict)
    rows: int = 0
    """The number of rows: each item of a served list, and each seen one, is a row."""
    stored: int = 0
    duplicate: int = 0
    erased: int = 0
    """Dropped events of forgotten users."""
    late: int = 0
    """Events older than the compaction horizon, which are not stored."""

    @property
    def read(self) -> int:
        """The number of events of all kinds."""
        return sum(self.sent.values())

    def plus(self, batch: "list[Event]", stored: Stored | None = None) -> "Replayed":
        """Return the sum with one more batch of a single kind."""
        topic = ROUTES[type(batch[0])].topic
        sent = {**self.sent, topic: self.sent.get(topic, 0) + len(batch)}
        more = replace(self, sent=sent, rows=self.rows + sum(map(_rows, batch)))
        if stored is None:
            return more
        return replace(
            more,
            stored=self.stored + stored.stored,
            duplicate=self.duplicate + stored.duplicate,
            erased=self.erased + stored.erased,
            late=self.late + len(stored.late),
        )


class Pace:
    """Limits a loop to `rate` events a second since its start; 0: no limit.

    `sleep` gets seconds. It may return early to stop the loop.
    """

    def __init__(self, rate: float, sleep: Callable[[float], object] = time.sleep) -> None:
        self._rate = rate
        self._sleep = sleep
        self._begun = time.monotonic()

    @property
    def batch_events(self) -> int:
        """The largest batch with an even flow."""
        return max(1, min(BATCH_EVENTS, int(self._rate * PACED_SECONDS))) if self._rate else BATCH_EVENTS

    def wait(self, done: int) -> None:
        """Sleep until `done` events match the rate."""
        if self._rate:
            ahead = done / self._rate - (time.monotonic() - self._begun)
            if ahead > 0:
                self._sleep(ahead)


def store(
    sink: Sink,
    source: Iterable[Event],
    *,
    now: Callable[[], int],
    report: Callable[[Replayed], None],
    pace: Pace | None = None,
) -> Replayed:
    """Store events directly in the graph, one transaction for each batch. `now` returns epoch ms.

    Calls `report` after each batch; reported events are durable. Raises the errors of `Sink`.
    """
    pace = pace or Pace(0)
    done = Replayed()
    for batch in batches(source, pace.batch_events):
        done = done.plus(batch, _store(sink, batch, now()))
        report(done)
        pace.wait(done.read)
    return done


def _store(sink: Sink, batch: list[Event], now: int) -> Stored | None:
    """Store one batch of a single kind."""
    if isinstance(batch[0], Interaction):
        return sink.store_interactions(cast("list[Interaction]", batch), now=now)
    if isinstance(batch[0], Impression):
        sink.store_impressions(cast("list[Impression]", batch), now=now)
    elif isinstance(batch[0], Seen):
        sink.store_seen(cast("list[Seen]", batch), now=now)
    elif isinstance(batch[0], CatalogItem | ItemChange):
        sink.store_items(cast("list[CatalogItem | ItemChange]", batch), now=now)
    elif isinstance(batch[0], UserAttributes):
        sink.store_attributes(cast("list[UserAttributes]", batch), now=now)
    else:
        sink.store_identities(cast("list[Identity]", batch), now=now)
    return None


def produce(
    producer: EventProducer,
    source: Iterable[Event],
    *,
    report: Callable[[Replayed], None],
    pace: Pace | None = None,
) -> Replayed:
    """Send events to their topics. `report` and the result count only acknowledged events.

    Raises `stream.kafka.producer.DeliveryError`.
    """
    pace = pace or Pace(0)
    done = Replayed()
    for batch in batches(_sent(producer, source), pace.batch_events):
        producer.flush()
        done = done.plus(batch)
        report(done)
        pace.wait(done.read)
    return done


def _sent(producer: EventProducer, source: Iterable[Event]) -> Iterator[Event]:
    for event in source:
        route = ROUTES[type(event)]
        producer.send(route.topic, event, key=getattr(event, route.key))
        yield event


def batches(source: Iterable[_E], size: int = BATCH_EVENTS) -> Iterator[list[_E]]:
    """Split events into lists of one kind and at most `size` rows. A list has a row for each item, served or seen."""
    batch: list[_E] = []
    rows = 0
    for event in source:
        if batch and (rows >= size or type(event) is not type(batch[0])):
            yield batch
            batch, rows = [], 0
        batch.append(event)
        rows += _rows(event)
        if rows >= size:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _rows(event: object) -> int:
    if isinstance(event, Impression):
        return len(event.items)
    return len(event.positions) if isinstance(event, Seen) else 1


def until(stop: Callable[[], bool], source: Iterable[_E]) -> Iterator[_E]:
    """Yield the events until `stop` returns true."""
    for event in source:
        if stop():
            return
        yield event


def history_events(engine: Engine, selection: Selection) -> Iterator[Event]:
    """Read the SQL log as events, in the order of `ROUTES`."""
    for row in history.item_rows(engine, selection):
        if (entry := of_entry(row)) is not None:
            yield from _entry(entry)
    for row in history.item_rows(engine, selection, changed=True):
        for written_at, fields, attributes in changes(row):
            yield from _item_change(row.item_id, written_at, fields, attributes)
    yield from map(_user_attributes, history.user_rows(engine, selection))
    yield from map(_identity, history.identity_rows(engine, selection))
    yield from map(_interaction, history.interaction_rows(engine, selection))
    for _, rows in groupby(history.impression_rows(engine, selection), key=_served_list):
        yield from fitting(_impression(list(rows)))
    for first, looked in groupby(history.seen_rows(engine, selection), key=_look):
        yield from _seen(first, [row.position for row in looked])


def _entry(row: ItemRow) -> Iterator[CatalogItem | ItemChange]:
    """Return a whole entry, and a change for the attributes that are too many: entries of one time may be joined."""
    names = sorted(row.attributes)
    kept, rest = names[: events.MAX_ATTRIBUTES], names[events.MAX_ATTRIBUTES :]
    yield _catalog_item(row._replace(attributes={name: row.attributes[name] for name in kept}))
    if rest:
        yield from _item_change(row.item_id, row.updated_at, {}, {name: row.attributes[name] for name in rest})


def _catalog_item(row: ItemRow) -> CatalogItem:
    return CatalogItem(
        item_id=row.item_id,
        title=row.title,
        categories=row.categories,
        brand=row.brand,
        price=row.price,
        available=row.available,
        event_time=events.utc(row.updated_at),
        attributes=dict(row.attributes),
        url=row.url,
        image_url=row.image_url,
        stock=row.stock,
        product_id=row.product_id,
    )


def _user_attributes(row: UserRow) -> UserAttributes:
    return UserAttributes(user_id=row.user_id, attributes=row.attributes, event_time=events.utc(row.updated_at))


def _identity(row: IdentityRow) -> Identity:
    return Identity(anonymous_id=row.anonymous_id, user_id=row.user_id, event_time=events.utc(row.event_time))


def _interaction(row: InteractionRow) -> Interaction:
    return Interaction(
        event_id=row.event_id,
        event_type=_EVENT_TYPES[row.event_type],
        user_id=row.user_id,
        item_id=row.item_id,
        event_time=events.utc(row.event_time),
        value=row.value,
        quantity=row.quantity,
        request_id=row.request_id,
        position=row.position,
        order_id=row.order_id,
        currency=row.currency,
    )


def _served_list(row: ImpressionRow) -> tuple[Any, ...]:
    return (
        row.event_time,
        row.request_id,
        row.user_id,
        row.slot,
        row.model_version,
        row.variant,
        row.confirmed,
        row.robot,
        row.client,
    )


def _impression(rows: list[ImpressionRow]) -> Impression:
    first = rows[0]
    return Impression(
        request_id=first.request_id,
        user_id=first.user_id,
        slot=first.slot,
        event_time=events.utc(first.event_time),
        model_version=first.model_version,
        variant=first.variant,
        items=[
            ImpressionItem(
                item_id=row.item_id,
                position=row.position,
                score=row.score,
                propensity=row.propensity,
                source=row.source,
            )
            for row in rows
        ],
        confirmed=first.confirmed,
        robot=first.robot,
        client=first.client,
    )


def _look(row: SeenRow) -> tuple[int, str, str]:
    return row.event_time, row.request_id, row.user_id


def _seen(look: tuple[int, str, str], positions: list[int]) -> Iterator[Seen]:
    """Return what was seen of one list at one time, in as many events as an event's bound on positions asks for."""
    event_time, request_id, user_id = look
    for start in range(0, len(positions), events.MAX_LISTED_ITEMS):
        yield Seen(
            request_id=request_id,
            user_id=user_id,
            event_time=events.utc(event_time),
            positions=positions[start : start + events.MAX_LISTED_ITEMS],
        )


def _item_change(
    item_id: str, written_at: int, fields: Mapping[str, Any], attributes: Mapping[str, Any]
) -> Iterator[ItemChange]:
    """Return a change in as many events as an event's bound on attributes asks for.

    Several changes at one time are one here, so there may be more attributes than one event brought.
    """
    names = sorted(attributes)
    parts = [names[start : start + events.MAX_ATTRIBUTES] for start in range(0, len(names), events.MAX_ATTRIBUTES)]
    for index, part in enumerate(parts or [[]]):
        yield ItemChange(
            item_id=item_id,
            event_time=events.utc(written_at),
            attributes={name: attributes[name] for name in part},
            **(fields if index == 0 else {}),
        )


def fitting(event: Impression) -> Iterator[Impression]:
    """Split a served list in halves until each part fits into one message. The rows stay the same.

    The store joins a list that arrived in several messages, so a list may be too large for one message.
    """
    if len(event.items) > 1 and (
        len(event.items) > events.MAX_LISTED_ITEMS or len(events.encode(event)) > events.MAX_EVENT_BYTES
    ):
        half = len(event.items) // 2
        yield from fitting(msgspec.structs.replace(event, items=event.items[:half]))
        yield from fitting(msgspec.structs.replace(event, items=event.items[half:]))
    else:
        yield event
