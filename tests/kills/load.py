"""The load: shoppers that click, buy, come late, send twice and send nonsense, and what the broker acknowledged of it.

Arrives: a random generator and a producer. Leaves: messages on the topics, and `acknowledged`, by topic, partition and
offset. The messages are written by hand, not by the product's structs, and tell by their key which of them are bad.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar, NamedTuple

from stream import events
from stream.kafka.producer import EventProducer

BAD = b"bad-"
"""The beginning of the key of every message that must become a dead letter."""

USERS = [f"u{number}" for number in range(50)] + ["Zoë", "tab\tbed", 'o\'brien \\N "x"', "line\nbreak", "買い手", "0"]
ITEMS = [f"i{number}" for number in range(60)] + ["crème", "50% \\. off", "'; --", "🛒"]
SESSIONS = [f"s{number}" for number in range(20)] + ["sessão"]
"""Anonymous ones: they shop like users, and log in as one now and then, or as each other."""
NEW_VISITOR = 10
"""After so many messages somebody comes who was never there, and stays for a minute: what is lost of them stays lost,
while of regulars the next event would make up for it."""
VISITORS = 60
DUPLICATES = 0.05


class Message(NamedTuple):
    """What goes onto a topic."""

    topic: str
    key: bytes
    value: bytes | None


class Shoppers:
    """An endless stream of messages, the same for the same `rng` and clock. `now` gives epoch seconds."""

    def __init__(self, rng: random.Random, now: Callable[[], float]) -> None:
        self._rng = rng
        self._now = now
        self._number = 0
        self._sent: list[Message] = []
        self._word_times: set[int] = set()

    def __iter__(self) -> Iterator[Message]:
        while True:
            yield self.next()

    def next(self) -> Message:
        """The next message; every twentieth is one that was sent before, just now or long ago."""
        if self._sent and self._rng.random() < DUPLICATES:
            recent = self._sent[-200:] if self._rng.random() < 0.7 else self._sent
            return self._rng.choice(recent)
        self._number += 1
        kinds, weights = zip(*self.KINDS.items(), strict=True)
        message: Message = self._rng.choices(kinds, weights)[0](self)
        self._sent.append(message)
        return message

    def interaction(self) -> Message:
        return self._message(events.INTERACTIONS, "user_id", self._interaction())

    def _interaction(self) -> dict[str, Any]:
        rng = self._rng
        found: dict[str, Any] = {
            "event_id": f"e{self._number}",
            "event_type": rng.choice(list(events.EventType)).value,
            "user_id": self._shopper(),
            "item_id": rng.choice(ITEMS),
            "event_time": self._time(),
        }
        if rng.random() < 0.4:
            found |= {
                "value": rng.choice([round(rng.uniform(0, 99), 2), 3, -5.5]),
                "quantity": rng.choice([1, 2, 9, 0.45]),
            }
        if found["event_type"] == "purchase":
            found |= {"order_id": f"order {self._number // 3}", "currency": rng.choice(["EUR", "JPY"])}
        if rng.random() < 0.2:
            found |= {"request_id": f"r{rng.randrange(500)}", "position": rng.randrange(20)}
        return found

    def impression(self) -> Message:
        shown = [
            {"item_id": item, "position": place, "score": 1.5 - place, "propensity": 0.5, "source": "batch"}
            for place, item in enumerate(self._rng.sample(ITEMS, 4))
        ]
        return self._message(
            events.IMPRESSIONS,
            "user_id",
            {
                "request_id": f"r{self._number}",
                "user_id": self._rng.choice(USERS),
                "slot": "home",
                "event_time": self._time(),
                "model_version": "m1",
                "variant": "champion",
                "items": shown,
                **self._rng.choice([{}, {"confirmed": False, "client": "c0ffee"}, {"confirmed": False, "robot": True}]),
            },
        )

    def seen(self) -> Message:
        rng = self._rng
        event = {
            "request_id": f"r{rng.randrange(self._number)}",
            "user_id": rng.choice(USERS),
            "event_time": self._time(),
            "positions": rng.sample(range(6), rng.randint(1, 4)),
        }
        return self._message(events.SEEN, "user_id", event)

    def item(self) -> Message:
        rng = self._rng
        return self._message(
            events.CATALOG,
            "item_id",
            {
                "item_id": rng.choice(ITEMS),
                "title": f"Title {self._number}",
                "categories": rng.sample(["Drinks", "Tea", "Größe \\ 5"], rng.randrange(3)),
                "brand": rng.choice(["", "Brand"]),
                "price": rng.choice([None, 2.5, 10]),
                "available": rng.random() < 0.9,
                "event_time": self._word_time(),
            },
        )

    def item_change(self) -> Message:
        event = {"item_id": self._rng.choice(ITEMS), "stock": self._rng.randint(1, 9), "event_time": self._word_time()}
        return self._message(events.CATALOG_CHANGES, "item_id", event)

    def item_delete(self) -> Message:
        return Message(events.CATALOG, self._rng.choice(ITEMS).encode(), None)

    def attributes(self) -> Message:
        rng = self._rng
        known = {"segment": rng.choice(["new", "größer"]), "age": rng.randrange(99), "vip": True, "score": 0.25}
        some = {name: known[name] for name in rng.sample(list(known), rng.randint(1, 4))}
        event = {"user_id": rng.choice(USERS + SESSIONS), "attributes": some, "event_time": self._word_time()}
        return self._message(events.USERS, "user_id", event)

    def attributes_delete(self) -> Message:
        return Message(events.USERS, self._rng.choice(USERS).encode(), None)

    def login(self) -> Message:
        rng = self._rng
        session = rng.choice([rng.choice(SESSIONS), self._visitor("session")])
        user = rng.choice(SESSIONS if rng.random() < 0.1 else USERS)
        event = {"anonymous_id": session, "user_id": user, "event_time": self._time()}
        return self._message(events.IDENTITIES, "anonymous_id", event)

    def malformed(self) -> Message:
        """One message in the wrong shape, on any of the topics."""
        rng = self._rng
        key = BAD + str(self._number).encode()
        if rng.random() < 0.15:
            long_key = key + b"x" * events.MAX_ID_LENGTH
            return Message(rng.choice([events.CATALOG, events.USERS]), rng.choice([long_key, key + b"\xff"]), None)
        if rng.random() < 0.2:
            topic = rng.choice([events.IMPRESSIONS, events.CATALOG, events.USERS, events.IDENTITIES, events.SEEN])
            return Message(topic, key, json.dumps(self._interaction()).encode())
        good = self._interaction()
        wrong = {
            "event_id": [5, "", "e" * 129, "nul\x00"],
            "event_type": ["stare", None],
            "event_time": ["1975-01-01T00:00:00Z", self._rfc3339(self._now() + 90_000), "yesterday", 5],
            "quantity": [-1, 0, "1.5", 10**7],
            "value": ["3", float("nan")],
            "unknown": [1],
            "position": [-1],
        }
        name = rng.choice(list(wrong))
        spoilt = json.dumps({**good, name: rng.choice(wrong[name])}).encode()
        missing = json.dumps({field: value for field, value in good.items() if field != "item_id"}).encode()
        huge = json.dumps({**good, "item_id": "x" * (events.MAX_EVENT_BYTES + 10)}).encode()
        whole = json.dumps(good).encode()
        raw = rng.choices(
            [spoilt, missing, huge, whole[:-7], b"", b"\xff\xfe" + whole, b"[]", None], [12, 2, 0.2, 2, 1, 1, 1, 1]
        )[0]
        return Message(events.INTERACTIONS, key, raw)

    KINDS: ClassVar[dict[Callable[["Shoppers"], Message], float]] = {
        interaction: 91.0,
        impression: 2.0,
        seen: 2.0,
        item: 2.0,
        item_change: 0.5,
        item_delete: 0.5,
        attributes: 1.0,
        attributes_delete: 0.3,
        login: 0.7,
        malformed: 1.0,
    }
    """How often each kind comes. A new topic is a method here, and a rule in `tests.kills.expected`."""

    def _message(self, topic: str, key: str, event: dict[str, Any]) -> Message:
        return Message(topic, event[key].encode(), json.dumps(event, ensure_ascii=False).encode())

    def _shopper(self) -> str:
        ours = [self._rng.choice(USERS), self._visitor("visitor"), self._rng.choice(SESSIONS), self._visitor("session")]
        return self._rng.choices(ours, [45, 40, 8, 7])[0]

    def _visitor(self, kind: str) -> str:
        newest = self._number // NEW_VISITOR
        return f"{kind}{self._rng.randint(max(newest - VISITORS, 0), newest)}"

    def _time(self) -> str:
        """Mostly now; some minutes late, some days, some a little ahead."""
        back = self._rng.choices(
            [self._rng.uniform(0, 2), self._rng.uniform(-1800, 7200), self._rng.uniform(0, 30 * 86_400)], [6, 3, 1]
        )[0]
        return self._rfc3339(self._now() - back)

    def _word_time(self) -> str:
        """Of what is told again, late or early by seconds. No two are equal: which of them holds would be undefined."""
        while (moment := round((self._now() - self._rng.uniform(-3, 3)) * 1000)) in self._word_times:
            continue
        self._word_times.add(moment)
        return self._rfc3339(moment / 1000)

    def _rfc3339(self, seconds: float) -> str:
        time = datetime.fromtimestamp(seconds, UTC)
        if self._rng.random() < 0.2:
            return time.astimezone(timezone(timedelta(hours=2))).isoformat()
        return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Load:
    """Sends from a thread of its own until `stop`; the rate, in messages a second, swings around the mean.

    `prefix` stands before the names of the topics on the broker.
    """

    def __init__(
        self, producer: EventProducer, shoppers: Shoppers, rng: random.Random, *, rate: float, prefix: str = ""
    ) -> None:
        self.acknowledged: dict[tuple[str, int, int], Message] = {}
        self.sent = 0
        self._producer = producer
        self._shoppers = shoppers
        self._rng = rng
        self._rate = rate
        self._prefix = prefix
        self._ending = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; everything sent is acknowledged when this returns. Raises what the thread raised, or `DeliveryError`."""
        self._ending.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._producer.flush(120)

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._second(self._rate * self._rng.choice([0.2, 0.6, 1.0, 1.4, 1.8]))
        except BaseException as error:  # noqa: BLE001 - raised again in `stop`
            self._error = error

    def _second(self, rate: float) -> None:
        begun, done = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < 1.0 and not self._ending.wait(0.005):
            while done < passed * rate:
                message = self._shoppers.next()
                future = self._producer.send_raw(self._prefix + message.topic, message.value, key=message.key)
                future.add_callback(self._acknowledge, message)
                done += 1
                self.sent += 1

    def _acknowledge(self, message: Message, metadata: Any) -> None:
        self.acknowledged[message.topic, metadata.partition, metadata.offset] = message
