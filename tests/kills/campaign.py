"""A campaign: one shop under load, some kills, then the comparison.

Arrives: what the shop stands on, and how many kills. Leaves: an `Outcome`. Next: `python -m tests.kills`, the tests.
"""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stream import events
from stream.kafka.producer import EventProducer
from tests.kills.broker_log import BrokerLog, Record
from tests.kills.comparison import Differences, compare, compare_log
from tests.kills.expected import RULES, expect
from tests.kills.kills import Card, Disturbance, Kills, deck
from tests.kills.load import Load, Shoppers
from tests.kills.shop import Database, Shop, ShopStuck
from tests.kills.worker import RECENT_ITEMS

RATE = 500.0
WORKERS: dict[Database, int] = {"sqlite": 1, "postgresql": 2}
WORKERS_ON_TANSU = 1
"""Tansu's groups do not settle when one of several members is killed: a worker that comes back may wait for ever."""
DRAIN_SECONDS = 240.0
SETTLE_SECONDS = 90.0
"""Redis and the announcements come after SQL: how long they may take."""


@dataclass
class Outcome:
    """What a campaign found."""

    database: Database
    broker: str
    kills: Counter[str] = field(default_factory=Counter)
    also: Counter[str] = field(default_factory=Counter)
    events: int = 0
    """Acknowledged messages."""
    seconds: float = 0.0
    differences: Differences = field(default_factory=Differences)

    def __str__(self) -> str:
        done = ", ".join(f"{name} {number}" for name, number in sorted((self.kills + self.also).items()))
        found = self.differences
        return (
            f"{self.database} on {self.broker}: {self.kills.total()} kills in {self.seconds:.0f} s under "
            f"{self.events:,} messages ({done}): "
            f"lost {len(found.lost)} doubled {len(found.doubled)} wrong {len(found.wrong)}"
        )


@dataclass
class Campaign:
    """One shop's trial. `plan` is what to do to it; without one, cards are dealt until there were `kills`."""

    directory: Path
    database: Database
    kafka_home: Path | None
    seed: int
    kills: int = 0
    plan: Sequence[Disturbance] = ()
    rate: float = RATE
    workers: int | None = None
    """How many; None: as usual with this database and broker."""
    given: Mapping[str, str] | None = None
    """Settings of a broker that runs already, on which `prefix` keeps the topics apart."""
    prefix: str = ""

    def run(self) -> Outcome:
        """Start, disturb, drain, compare, stop."""
        begun = time.monotonic()
        rng = random.Random(self.seed)
        services = Shop(self.directory, self.database, self.kafka_home, self.given, self.prefix)
        with services as shop, EventProducer(shop.config) as producer:
            outcome = Outcome(self.database, shop.kind)
            kills = Kills(shop, rng, outcome.kills, outcome.also)
            for number in range(self.workers or self._usual_workers(shop)):
                shop.add_worker(f"worker{number}").start()
            shoppers = Shoppers(random.Random(self.seed + 1), time.time)
            load = Load(producer, shoppers, rng, rate=self.rate, prefix=self.prefix)
            try:
                try:
                    self._disturb(shop, kills, rng)
                finally:
                    load.stop()
                outcome.differences = self._settled(shop, load)
            except ShopStuck as stuck:
                outcome.differences.lost.append(str(stuck))
            for worker in shop.workers:
                kills.stop(worker)
                outcome.also["crash"] += worker.crashes
            outcome.differences.wrong += kills.stubborn
            outcome.differences.wrong += [line for worker in shop.workers for line in worker.repairs()]
            outcome.events = len(load.acknowledged)
        outcome.seconds = time.monotonic() - begun
        return outcome

    def _usual_workers(self, shop: Shop) -> int:
        return WORKERS_ON_TANSU if shop.kind == "tansu" else WORKERS[self.database]

    def _disturb(self, shop: Shop, kills: Kills, rng: random.Random) -> None:
        _moving(shop)
        for disturb in self.plan:
            disturb(kills)
            _moving(shop)
        cards: list[Card] = []
        while (left := self.kills - kills.total) > 0:
            if not cards:
                cards = deck(shop)
                rng.shuffle(cards)
            card = cards.pop()
            if card.most > left:
                continue
            card.disturb(kills)
            if rng.random() < 0.8:  # else the next trouble comes before this one is over
                _moving(shop)

    def _settled(self, shop: Shop, load: Load) -> Differences:
        """Wait until everything produced is through, then compare; what follows SQL gets some time to come."""
        with contextlib.closing(BrokerLog(shop.config, list(RULES), self.prefix)) as broker_log:
            log = broker_log.read(load.acknowledged)
        expected = expect(log)
        of_the_broker = compare_log(log, load.acknowledged)
        for topic in RULES:
            ends = {partition: end for (name, partition), end in expected.progress.items() if name == topic}
            shop.wait_until(partial(_reached, shop, topic, ends), f"the end of {topic}", DRAIN_SECONDS)
        told = [events.USERS_TOUCHED, events.DEAD_LETTERS]
        with contextlib.closing(BrokerLog(shop.config, told, self.prefix)) as worker_log:
            sent: list[Record] = []
            deadline = time.monotonic() + SETTLE_SECONDS
            while True:
                sent += worker_log.read()
                found = compare(
                    expected,
                    engine=shop.engine,
                    redis=shop.redis,
                    sent=sent,
                    recent_items=RECENT_ITEMS,
                    prefix=self.prefix,
                )
                if not found or time.monotonic() > deadline:
                    return of_the_broker + found
                shop.revive()


def _moving(shop: Shop) -> None:
    """Wait until messages go through again, on every partition of the interactions."""
    before = shop.progress(events.INTERACTIONS)
    partitions = range(shop.config.kafka_partitions)

    def moved() -> bool:
        now = shop.progress(events.INTERACTIONS)
        return all(now.get(partition, 0) > before.get(partition, 0) for partition in partitions)

    shop.wait_until(moved, "the next message of every partition")


def _reached(shop: Shop, topic: str, ends: Mapping[int, int]) -> bool:
    now = shop.progress(topic)
    return all(now.get(partition, 0) >= end for partition, end in ends.items())
