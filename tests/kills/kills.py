"""The kills: what is done to a shop under load, one disturbance after another.

Arrives: a running shop and a random generator. Leaves: the same shop, running again, and how many processes were killed
by SIGKILL. Next: `tests.kills.campaign` deals the disturbances out.
"""

import contextlib
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from tests.kills.points import Fault, Point
from tests.kills.shop import STOP_SECONDS, Shop, Worker

POINT_SECONDS = 15.0
"""How long a worker may take to reach the instruction at which it is to die."""

FREEZE_SECONDS = 7.5
"""Longer than the worker's session: the broker gives its partitions to another."""


@dataclass
class Kills:
    """Disturbs one shop. `count` says what was killed, and `also` what else was done to it."""

    shop: Shop
    rng: random.Random
    count: Counter[str] = field(default_factory=Counter)
    also: Counter[str] = field(default_factory=Counter)
    stubborn: list[str] = field(default_factory=list)
    """Workers that did not leave in order when they were asked to."""
    _generation: int = 0

    @property
    def total(self) -> int:
        """Processes killed by SIGKILL."""
        return self.count.total()

    def worker_at_random(self) -> None:
        """At any moment, of the start-up too."""
        worker = self._worker()
        time.sleep(self.rng.uniform(0, 1.0))
        self._kill(worker)
        time.sleep(self.rng.choice([0, 0, 0.3]))
        worker.start()

    def worker_at(self, point: Point) -> None:
        """At an instruction: the next life of a worker ends there."""
        worker = self._worker()
        self._kill(worker)
        worker.start(Fault(point, self._passes(point)))
        if worker.join(POINT_SECONDS) == -signal.SIGKILL:
            self.count[point.value] += 1
        else:
            self._kill(worker)
        worker.start()

    def all_workers(self) -> None:
        """Every worker at once."""
        time.sleep(self.rng.uniform(0, 0.5))
        for worker in self.shop.workers:
            worker.signal(signal.SIGKILL)
        for worker in self.shop.workers:
            worker.join()
            self.count["worker"] += 1
            worker.start()

    def take_over(self) -> None:
        """A worker stays dead until another one has its partitions, then comes back."""
        worker = self._worker()
        self._kill(worker)
        time.sleep(FREEZE_SECONDS)
        worker.start()

    def redis(self) -> None:
        """Redis, back after a moment with what it had written down."""
        self.shop.kill_child(self.shop.redis_child)
        self.count["redis"] += 1
        time.sleep(self.rng.uniform(0, 1.0))
        self.shop.restart_redis()

    def broker(self) -> None:
        """The broker, with or without a worker at the same moment."""
        assert self.shop.broker is not None, "this broker is not ours to kill"
        self.shop.kill_child(self.shop.broker.child)
        self.count["broker"] += 1
        if self.rng.random() < 0.5:
            worker = self._worker()
            self._kill(worker)
            worker.start()
        self.shop.restart_broker()

    def database(self) -> None:
        """PostgreSQL."""
        self.shop.kill_postgres()
        self.count["postgresql"] += 1
        time.sleep(self.rng.uniform(0, 1.5))
        self.shop.restart_postgres()

    def lock_sqlite(self) -> None:
        """Another writer holds SQLite's only lock for some seconds, over a kill perhaps."""
        file = self.shop.engine.url.database
        assert file is not None
        with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            time.sleep(self.rng.uniform(0.5, 3))
            if self.rng.random() < 0.5:
                worker = self._worker()
                self._kill(worker)
                worker.start()
                time.sleep(1)
            writer.execute("ROLLBACK")
        self.also["lock"] += 1

    def leave_in_order(self) -> None:
        """SIGTERM, and back under the same name."""
        self.stop(self._worker()).start()
        self.also["sigterm"] += 1

    def replace(self) -> None:
        """SIGTERM, and a new member in its place: every other worker loses or gains partitions in mid-batch."""
        worker = self.stop(self._worker())
        self._generation += 1
        worker.member = f"{worker.member.partition('.')[0]}.{self._generation}"
        worker.start()
        self.also["rebalance"] += 1

    def join(self) -> None:
        """One worker more: every other one gives partitions away in mid-batch."""
        worker = self.shop.add_worker(f"worker{len(self.shop.workers)}")
        worker.start()
        self.shop.wait_until(lambda: worker.up, "a worker that joins")
        self.also["rebalance"] += 1

    def freeze(self) -> None:
        """A worker stands still until others have its partitions, and then goes on with what it has in hand."""
        worker = self._worker()
        worker.signal(signal.SIGSTOP)
        self._thaw(worker)

    def freeze_at(self, point: Point) -> None:
        """The same, at an instruction of its next life."""
        worker = self._worker()
        self._kill(worker)
        worker.start(Fault(point, self._passes(point), signal.SIGSTOP))
        deadline = time.monotonic() + POINT_SECONDS
        while not worker.halted and time.monotonic() < deadline:
            time.sleep(0.05)
        self._thaw(worker)

    def _thaw(self, worker: Worker) -> None:
        time.sleep(FREEZE_SECONDS)
        worker.signal(signal.SIGCONT)
        self.also["freeze"] += 1

    def _passes(self, point: Point) -> int:
        return self.rng.randint(1, 3 if point in (Point.COMMITTING, Point.COMMITTED) else 25)

    def _worker(self) -> Worker:
        return self.rng.choice(self.shop.workers)

    def _kill(self, worker: Worker) -> None:
        if worker.kill():
            self.count["worker"] += 1

    def stop(self, worker: Worker) -> Worker:
        """Ask a worker to leave; one that does not leave in order is told in `stubborn`."""
        was_up = worker.up
        code = worker.stop()
        if code is None or (code != 0 and was_up):
            word = f"did not leave within {STOP_SECONDS:g} s" if code is None else f"left with {code}"
            self.stubborn.append(f"{worker.member} was asked to leave and {word}:\n{worker.tail()}")
        return worker


Disturbance = Callable[[Kills], None]


class Card(NamedTuple):
    """A disturbance, and how many processes it kills at most."""

    disturb: Disturbance
    most: int = 1


def deck(shop: Shop) -> list[Card]:
    """Everything that can be done to this shop, the commoner more often."""
    cards = [*(Card(partial(Kills.worker_at, point=point), 2) for point in Point)]
    cards += [Card(Kills.worker_at_random)] * 6 + [Card(Kills.redis)] * 2 + [Card(Kills.leave_in_order, 0)]
    if shop.kind == "kafka":  # the embedded one keeps all in memory
        cards += [Card(Kills.broker, 2)] * 2
    if shop.database == "sqlite":
        cards += [Card(Kills.lock_sqlite)]
    else:
        cards += [Card(Kills.database)]
    if (workers := len(shop.workers)) > 1:
        cards += [Card(Kills.all_workers, workers)] * 2
        cards += [Card(Kills.replace, 0), Card(Kills.take_over), Card(Kills.freeze, 0)]
        cards += [Card(partial(Kills.freeze_at, point=Point.AFTER_COMMIT))]
    return cards
