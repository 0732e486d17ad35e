"""Simulated shoppers: they look at the lists they are served and click according to what they really bought next.

Arrives: the held-out future of a data set, and the shop's HTTP API. Leaves: live events on Kafka, impressions and
clicks through the API. Nothing of the model is known here: a shopper clicks an item only where the data says that this
shopper bought it in this basket, and only if they looked that far down the list.
"""

import http.client
import json
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from kafka.errors import KafkaError

from graphstore.errors import UserError
from stream import events
from stream.kafka.producer import EventProducer
from stream.sources.table import EventTable

logger = logging.getLogger(__name__)

LIST_SIZE = 20
WATCHED_ITEMS = 60
HTTP_TIMEOUT_SECONDS = 5.0


class ShopError(UserError):
    """The shop's API did not answer as it should."""


class ShopClient:
    """The few calls that a shopper's browser makes, over one kept-alive connection."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._host = urlsplit(base_url).netloc
        self._key = api_key
        self._connection: http.client.HTTPConnection | None = None

    def recommendations(self, user_id: str, *, k: int = LIST_SIZE, slot: str | None = "home") -> dict[str, Any]:
        """The served list; in a slot it counts as shown. Raises `ShopError`."""
        shown = "" if slot is None else f"&slot={slot}"
        return self._call("GET", f"/recommendations/{quote(user_id, safe='')}/?k={k}{shown}", None)

    def send(self, sent: list[events.Interaction]) -> dict[str, Any]:
        """Post events; raises `ShopError`."""
        return self._call("POST", "/events/", b"[" + b",".join(events.encode(event) for event in sent) + b"]")

    def _call(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            try:
                answer, content = self._ask(method, path, body, headers)
            except (ConnectionError, http.client.RemoteDisconnected):
                # The server lets go of idle connections. Safe to repeat: event ids make a second delivery harmless.
                self.close()
                answer, content = self._ask(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ShopError(f"{method} {path}: {error}") from error
        if answer.status >= 300:
            raise ShopError(f"{method} {path}: {answer.status} {content[:300].decode(errors='replace')}")
        found: dict[str, Any] = json.loads(content)
        return found

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, timeout=HTTP_TIMEOUT_SECONDS)
        self._connection.request(method, path, body=body, headers=headers)
        answer = self._connection.getresponse()
        return answer, answer.read()

    def close(self) -> None:
        """Let go of the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass
class ShopperCounts:
    """What the shoppers did so far."""

    baskets: int = 0
    produced: int = 0
    clicks: int = 0
    lists: int = 0
    failed_lists: int = 0
    failed_clicks: int = 0
    next_row: int = 0


@dataclass
class Shoppers:
    """Replays rows of `table` from `start` on, one basket at a time, at about `rate` events a second.

    Events keep their ids, so a replay that begins again counts nothing twice; their time is the moment of sending.
    """

    table: EventTable
    start: int
    producer: EventProducer
    client: ShopClient
    rate: float
    rng: random.Random
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    counts: ShopperCounts = field(default_factory=ShopperCounts)

    def run(self, stop: threading.Event, *, limit: int | None = None) -> ShopperCounts:
        """Shop until `stop` is set, the data ends, or `limit` events were produced. Raises `KafkaError`."""
        begun = time.monotonic()
        self.counts.next_row = self.start
        for basket in self.baskets():
            self.shop(basket)
            self.counts.next_row += len(basket)
            if limit is not None and self.counts.produced >= limit:
                break
            ahead = self.counts.produced / self.rate - (time.monotonic() - begun)
            if stop.wait(max(ahead, 0.0)):
                break
        self.producer.flush()
        return self.counts

    def baskets(self) -> Iterator[list[events.Interaction]]:
        """Runs of events of one shopper at one instant, in the order of the data."""
        basket: list[events.Interaction] = []
        for event in self.table.events(self.start):
            if basket and (event.user_id, event.event_time) != (basket[0].user_id, basket[0].event_time):
                yield basket
                basket = []
            basket.append(event)
        if basket:
            yield basket

    def shop(self, basket: list[events.Interaction]) -> None:
        """One visit: look at the list, click what one came for, buy the basket."""
        user_id, now = basket[0].user_id, self.clock()
        shown: dict[str, int] = {}
        request_id = None
        try:
            served = self.client.recommendations(user_id)
        except ShopError as error:
            # A shopper whose page fails still buys; the failure is counted and shown.
            self.counts.failed_lists += 1
            logger.warning("no list for %s: %s", user_id, error)
        else:
            self.counts.lists += 1
            request_id = served["request_id"]
            shown = {item["item_id"]: item["position"] for item in served["items"]}
        wanted = [event for event in basket if event.item_id in shown and self.looks_at(shown[event.item_id])]
        clicks = [
            events.Interaction(
                event_id=f"{event.event_id}-click",
                event_type=events.EventType.CLICK,
                user_id=user_id,
                item_id=event.item_id,
                event_time=now,
                request_id=request_id,
                position=shown[event.item_id],
            )
            for event in wanted
        ]
        led = {event.item_id for event in wanted} if clicks and self._click(clicks) else set()
        for event in basket:
            through = event.item_id in led
            bought = msgspec.structs.replace(
                event,
                event_time=now,
                request_id=request_id if through else None,
                position=shown[event.item_id] if through else None,
            )
            self._produce(bought)
        self.counts.produced += len(basket)
        self.counts.baskets += 1

    def _click(self, clicks: list[events.Interaction]) -> bool:
        """Post them; False, counted and told, where the shop did not take them."""
        try:
            self.client.send(clicks)
        except ShopError as error:
            self.counts.failed_clicks += len(clicks)
            logger.warning("%d clicks were lost: %s", len(clicks), error)
            return False
        self.counts.clicks += len(clicks)
        self.counts.produced += len(clicks)
        return True

    def looks_at(self, position: int) -> bool:
        """Whether the shopper looked this far down: attention falls with 1 / log2(position + 2), as in DCG."""
        return self.rng.random() < 1 / math.log2(position + 2)

    def _produce(self, event: events.Interaction) -> None:
        try:
            self.producer.send(events.INTERACTIONS, event, key=event.user_id)
        except KafkaError:
            logger.error("the broker takes no events; stopped at row %d", self.counts.next_row)
            raise


@dataclass(frozen=True)
class Change:
    """One shopper's list around one purchase."""

    user_id: str
    item_title: str
    before: list[str]
    after: list[str]
    milliseconds: float | None
    """From handing the event to the producer to the first changed answer; None where it did not change in time."""


def find_telling(client: ShopClient, upcoming: Iterator[events.Interaction]) -> events.Interaction | None:
    """The first purchase to come of an item that stands just below what its shopper is shown, else simply the first.

    Such a purchase is sure to move the item up. Raises `ShopError`.
    """
    first: events.Interaction | None = None
    below: dict[str, set[str]] = {}
    for event in upcoming:
        first = first or event
        if event.user_id not in below:
            items = client.recommendations(event.user_id, k=WATCHED_ITEMS, slot=None)["items"]
            below[event.user_id] = {item["item_id"] for item in items[LIST_SIZE:]}
        if event.item_id in below[event.user_id]:
            return event
    return first


def watch_change(
    client: ShopClient,
    producer: EventProducer,
    event: events.Interaction,
    *,
    title: str,
    timeout_seconds: float = 10.0,
) -> Change:
    """Buy something and poll the list until it is another one. Raises `ShopError`.

    The whole list is watched, beyond what a page shows: one purchase moves a regular shopper's list by a few places.
    """
    before = client.recommendations(event.user_id, k=WATCHED_ITEMS, slot=None)
    begun = time.perf_counter()
    producer.send(events.INTERACTIONS, event, key=event.user_id)
    names = _shown(before)
    while time.perf_counter() - begun < timeout_seconds:
        after = client.recommendations(event.user_id, k=WATCHED_ITEMS, slot=None)
        took = (time.perf_counter() - begun) * 1000
        if _shown(after) != names:
            return Change(event.user_id, title, names, _shown(after), took)
        time.sleep(0.005)
    return Change(event.user_id, title, names, names, None)


def _shown(served: dict[str, Any]) -> list[str]:
    return [item["title"] or item["item_id"] for item in served["items"]]
