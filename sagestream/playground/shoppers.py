"""Simulated shoppers: view their served lists, click the items of their real next basket, and buy the basket.

Arrives: the held-out events of a data set, and the shop's HTTP API. Leaves: live events on Kafka, impressions and
clicks through the API. This module does not use the model. A shopper clicks an item under two conditions: the item is
in this shopper's real basket, and the shopper viewed its position in the list.
"""

import http.client
import json
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from kafka.errors import KafkaError

from graphstore.errors import UserError
from stream import events
from stream.kafka.producer import EventProducer

logger = logging.getLogger(__name__)

LIST_SIZE = 20
WATCHED_ITEMS = 60
HTTP_TIMEOUT_SECONDS = 5.0


class ShopError(UserError):
    """The shop's API is unreachable or answers with an error."""


class ShopClient:
    """HTTP client with the calls of a shopper's browser. All calls share one persistent connection."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._host = urlsplit(base_url).netloc
        self._key = api_key
        self._connection: http.client.HTTPConnection | None = None

    def recommendations(self, user_id: str, *, k: int = LIST_SIZE, slot: str | None = "home") -> dict[str, Any]:
        """Return the served list. With a slot the request records an impression. Raises `ShopError`."""
        shown = "" if slot is None else f"&slot={slot}"
        return self._call("GET", f"/recommendations/{quote(user_id, safe='')}/?k={k}{shown}", None)

    def send(self, sent: list[events.Interaction]) -> dict[str, Any]:
        """Post events. Raises `ShopError`."""
        return self._call("POST", "/events/", b"[" + b",".join(events.encode(event) for event in sent) + b"]")

    def _call(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            try:
                answer, content = self._ask(method, path, body, headers)
            except (ConnectionError, http.client.RemoteDisconnected):
                # The server closes idle connections. A retry is safe: an event with a known id is not counted again.
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
        """Close the connection. The next call opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass
class ShopperCounts:
    """Counts of the simulated shoppers' actions, and the next row to replay."""

    baskets: int = 0
    produced: int = 0
    clicks: int = 0
    lists: int = 0
    failed_lists: int = 0
    failed_clicks: int = 0
    next_row: int = 0


@dataclass
class Shoppers:
    """Replays events, one basket at a time, at about `rate` events a second. The first one is row `start` of the data.

    Events keep their ids, so a repeated replay does not count an event twice. The event time is the time of sending.
    """

    upcoming: Iterable[events.Interaction]
    start: int
    producer: EventProducer
    client: ShopClient
    rate: float
    rng: random.Random
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sent: Callable[[Iterable[str]], None] = lambda _: None
    """Gets the ids of the events that are sent."""
    counts: ShopperCounts = field(default_factory=ShopperCounts)

    def run(self, stop: threading.Event, *, limit: int | None = None) -> ShopperCounts:
        """Replay until `stop` is set, the data ends, or `limit` events are produced. Raises `KafkaError`."""
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
        """Yield groups of consecutive events with the same shopper and the same time, in data order."""
        basket: list[events.Interaction] = []
        for event in self.upcoming:
            if basket and (event.user_id, event.event_time) != (basket[0].user_id, basket[0].event_time):
                yield basket
                basket = []
            basket.append(event)
        if basket:
            yield basket

    def shop(self, basket: list[events.Interaction]) -> None:
        """Simulate one visit: get the list, click the basket's items that the shopper viewed, buy the basket."""
        user_id = basket[0].user_id
        shown: dict[str, int] = {}
        request_id = None
        try:
            served = self.client.recommendations(user_id)
        except ShopError as error:
            # The shopper buys the basket without a list. The failure is counted and logged.
            self.counts.failed_lists += 1
            logger.warning("no list for %s: %s", user_id, error)
        else:
            self.counts.lists += 1
            request_id = served["request_id"]
            shown = {item["item_id"]: item["position"] for item in served["items"]}
        now = self.clock()  # after the list: a click before its list is nobody's
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
        """Post the clicks. Return False when the shop does not accept them; the failure is counted and logged."""
        try:
            self.client.send(clicks)
        except ShopError as error:
            self.counts.failed_clicks += len(clicks)
            logger.warning("%d clicks were lost: %s", len(clicks), error)
            return False
        self.sent([click.event_id for click in clicks])
        self.counts.clicks += len(clicks)
        self.counts.produced += len(clicks)
        return True

    def looks_at(self, position: int) -> bool:
        """Draw whether the shopper views this position: the probability is 1 / log2(position + 2), as in DCG."""
        return self.rng.random() < 1 / math.log2(position + 2)

    def _produce(self, event: events.Interaction) -> None:
        self.sent([event.event_id])
        try:
            self.producer.send(events.INTERACTIONS, event, key=event.user_id)
        except KafkaError:
            logger.error("the broker takes no events; stopped at row %d", self.counts.next_row)
            raise


@dataclass(frozen=True)
class Change:
    """One shopper's list before and after one purchase."""

    user_id: str
    item_title: str
    before: list[str]
    after: list[str]
    milliseconds: float | None
    """From sending the event to the first changed list. None when the list did not change before the timeout."""


def find_telling(client: ShopClient, upcoming: Iterable[events.Interaction]) -> events.Interaction | None:
    """Return the first upcoming purchase of an item just below the shown list, else the first upcoming purchase.

    Such a purchase surely moves the item up. Raises `ShopError`.
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
    """Send a purchase and poll the list until it changes. Raises `ShopError`.

    The poll compares more items than a page shows, because one purchase moves a regular shopper's items only by a few
    positions.
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
