"""Refresh: a thread of the publisher that keeps the shop lists in Redis fresh.

Arrives: the tables. Leaves: `best:`, `rising:`, `categories`, `together` and `repurchase` in Redis. Next:
`serving.shop_lists.reader`.

Counts change with each event, so they are looked at every `COUNTS_SECONDS`: a first purchase is among the best sellers
within a minute. What goes together and when it is bought again changes slowly and costs more, so it has
`HABITS_SECONDS`. Both wait longer where a step takes long: a step has at most a `SHARE` of the time, up to
`MOST_SECONDS`. Every list is replaced whole, so a process that is killed anywhere is only late, and two processes
repeat each other's work.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import Gauge
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from graphstore.errors import reason
from graphstore.outages import service_of
from graphstore.redis import changes
from graphstore.session import read
from graphstore.tables import HOUR_MS, interactions, items
from serving.shop_lists.assortment import Assortment, read_assortment
from serving.shop_lists.best_sellers import best_sellers
from serving.shop_lists.lists import CATEGORIES, REPURCHASE, TOGETHER, best_key, encode, rising_key, write_hash
from serving.shop_lists.purchases import read_purchases
from serving.shop_lists.repurchase import repurchase_days
from serving.shop_lists.rising import rising
from serving.shop_lists.together import together
from serving.shop_lists.window_counts import WINDOWS, WindowCounts

logger = logging.getLogger(__name__)

COUNTS_SECONDS = 20.0
HABITS_SECONDS = 600.0
MOST_SECONDS = 3_600.0
SHARE = 0.05
"""The share of this thread's time that each of the two steps may take."""

RETRY_SECONDS = 5.0
TICK_SECONDS = 1.0

_as_of = Gauge("sagestream_shop_lists_as_of_seconds", "Time of the newest shop lists, epoch seconds", ["step"])
_seconds = Gauge("sagestream_shop_lists_seconds", "How long the last computation of shop lists took", ["step"])


@dataclass
class ShopListsWriter:
    """Computes the lists. Each method raises `sqlalchemy.exc.SQLAlchemyError` and `redis.RedisError`."""

    engine: Engine
    redis: Redis
    _windows: WindowCounts = field(default_factory=WindowCounts, init=False)
    _assortment: tuple[int, Assortment] | None = field(default=None, init=False)
    _seen: tuple[int, int, int] | None = field(default=None, init=False)
    """The hour, the newest interaction and the newest change of an item of the last counts."""
    _written: dict[str, int] = field(default_factory=dict, init=False)
    """By key: a hash of the content that was written last."""

    def write_counts(self, *, now: int) -> bool:
        """Write best sellers, rising items and categories as of `now` (epoch ms). False: nothing has changed."""
        changed, _ = changes.changed_since(self.redis, 0)  # before SQL: a change after it is seen the next time
        with read(self.engine) as connection:
            newest = connection.scalar(select(func.max(interactions.c.interaction_key))) or 0
            seen = (now // HOUR_MS, newest, changed)
            if seen == self._seen and self.redis.exists(CATEGORIES):
                return False
            assortment = self._current(connection, changed)
            counts = self._windows.read(connection, now=now)
        for window in WINDOWS:
            self._write(best_key(window), best_sellers(counts, window, assortment))
            self._write(rising_key(window), rising(counts, window, assortment))
        self._write_categories(assortment.sizes())
        self._seen = seen
        return True

    def write_habits(self) -> None:
        """Write what is bought together, and after how many days it is bought again."""
        with read(self.engine) as connection:
            purchases = read_purchases(connection)
            everything = read_assortment(connection, sold_out_too=True)
            names = {row[0]: row[1] for row in connection.execute(select(items.c.item_key, items.c.item_id))}
        pairs = together(purchases)
        self._write(TOGETHER, {names[key]: encode(entries) for key, entries in pairs.items() if key in names})
        write_hash(self.redis, REPURCHASE, repurchase_days(purchases, everything))

    def _current(self, connection: Connection, changed: int) -> Assortment:
        if self._assortment is None or self._assortment[0] != changed:
            self._assortment = (changed, read_assortment(connection))
        return self._assortment[1]

    def _write(self, key: str, fields: dict[str, bytes]) -> None:
        content = hash(frozenset(fields.items()))
        if self._written.get(key) != content or bool(fields) != bool(self.redis.exists(key)):
            write_hash(self.redis, key, fields)
            self._written[key] = content

    def _write_categories(self, sizes: dict[str, int]) -> None:
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.delete(CATEGORIES)
        if sizes:
            pipeline.zadd(CATEGORIES, sizes)
        pipeline.execute()


class ShopListsRefresh:
    """The thread. It ends when `stop` is set, between two steps."""

    def __init__(
        self,
        writer: ShopListsWriter,
        stop: threading.Event,
        *,
        now: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._stop = stop
        self._now = now
        self._clock = clock
        self._due = {"counts": 0.0, "habits": 0.0}
        self.problem = ""
        """Why the last step failed; empty after a success."""
        self._thread = threading.Thread(target=self._run, name="shop lists", daemon=True)

    def start(self) -> None:
        """Begin, at once with both steps."""
        self._thread.start()

    def join(self) -> None:
        """Wait until a running step has ended. `stop` must be set."""
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            self.tick()

    def tick(self) -> None:
        """Do what is due. An error is logged, and the step tried again."""
        steps: dict[str, tuple[Callable[[], object], float]] = {
            "counts": (lambda: self._writer.write_counts(now=self._now()), COUNTS_SECONDS),
            "habits": (self._writer.write_habits, HABITS_SECONDS),
        }
        for name, (step, pause) in steps.items():
            begun = self._clock()
            if begun < self._due[name] or self._stop.is_set():
                continue
            try:
                step()
            except (SQLAlchemyError, RedisError, OSError) as error:
                self._due[name] = self._clock() + RETRY_SECONDS
                self.problem = reason(error)
                logger.warning("the shop lists wait for %s: %s", service_of(error) or "a later try", reason(error))
            else:
                took = self._clock() - begun
                self._due[name] = begun + min(max(pause, took / SHARE), MOST_SECONDS)
                self.problem = ""
                _seconds.labels(name).set(took)
                _as_of.labels(name).set(self._now() / 1000)
