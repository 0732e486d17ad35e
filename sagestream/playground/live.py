"""Live traffic: replays the held-out events as live shoppers, as the last stage of the playground.

Arrives: running services and processes, and the held-out events of the data set. Leaves: measured figures in the
outcome. The stage ends when the loop has closed once, or when the user stops it.
"""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from graphstore.errors import reason
from graphstore.outages import service_of
from graphstore.session import now_ms, read, write
from monitoring.attribution import attribute_now
from monitoring.ctr import ctr
from sagestream.playground import outcome as figures
from sagestream.playground import state
from sagestream.playground.account import Account, settle
from sagestream.playground.outcome import Outcome
from sagestream.playground.past import Past
from sagestream.playground.processes import ProcessFailed, Supervisor
from sagestream.playground.services import Services
from sagestream.playground.shoppers import ShopClient, ShopperCounts, Shoppers, find_telling, watch_change
from sagestream.stages import Report, Stages
from sagestream.tables import print_table
from serving import cache
from stream import events
from stream.config import StreamConfig
from stream.dlq.queue import Queue
from stream.events import DeadLetter
from stream.kafka.producer import EventProducer

TICK_SECONDS = 1.0
STATUS_SECONDS = 15.0
HEALTH_SECONDS = 5.0
LOOP_SECONDS = 420.0
"""A run with `--once` fails when the loop has not closed after this time."""

SETTLE_SECONDS = 60.0
WATCHED_EVENTS = 200
MAX_RESTARTS = 5
MALFORMED = b'{"event_type": "purchase", "user_id": "nobody"}'
"""An invalid event, sent once in a run with `--once`, because the dead letter queue is part of the loop."""

LOOP_PARTS = ("clicks", "drift report", "retrain")


@dataclass
class LiveTraffic:
    """Simulated shoppers against the running shop. The supervisor restarts ended processes."""

    services: Services
    supervisor: Supervisor
    stages: Stages
    outcome: Outcome
    stop: threading.Event
    _account: Account = field(default_factory=lambda: Account(0))
    """The events of this run; made when it begins."""
    _failure: Exception | None = None

    def run(self, past: Past, rate: float, *, once: bool, run_began: int) -> None:
        """Replay from the saved row: with `once` until the loop has closed, else until `stop` is set.

        `rate` is in events a second, `run_began` in epoch ms.
        """
        url = f"http://127.0.0.1:{self.services.web_port}"
        client = ShopClient(url, self.services.settings["api_key"])
        live_began = now_ms()
        self.services.redis.delete(cache.FRESHNESS)  # measurements of an earlier run
        self._account = Account(live_began)
        with EventProducer(self.services.config(StreamConfig), name="playground") as producer:
            self._show_a_change(past, client, producer)
            if once:
                self._account.sent_malformed(MALFORMED)
                producer.send_raw(events.INTERACTIONS, MALFORMED, key=b"nobody")
            known, rng = past.known, random.Random(past.known.next_row)
            shoppers = Shoppers(past.replay(), known.next_row, producer, client, rate, rng, sent=self._account.sent)
            self.stages.say(f"live: {rate:g} events a second from the kept future; Ctrl-C stops everything")
            with self.stages.stage("live", "Live traffic") as report:
                self._shop(shoppers, live_began, report, known, once=once)
        counts = shoppers.counts
        self.stages.say(
            f"{counts.baskets:,} visits, {counts.produced:,} events, {counts.clicks:,} clicks on {counts.lists:,} lists"
            + (f", {counts.failed_lists:,} lists failed" if counts.failed_lists else "")
            + (f", {counts.failed_clicks:,} clicks were lost" if counts.failed_clicks else "")
        )
        with self.stages.stage("settle", "Everything produced is accounted for"):
            self._settle()
        with write(self.services.engine) as connection:
            # Run the monitor's idempotent step now, because its next pass may be seconds away and miss the last clicks.
            attribute_now(connection)
            figures.measure(
                connection,
                self.services.redis,
                self.outcome,
                run_began=run_began,
                live_began=live_began,
                now=now_ms(),
            )
        if self._failure:
            raise self._failure

    def _show_a_change(self, past: Past, client: ShopClient, producer: EventProducer) -> None:
        """Send one of the next purchases and show the list before and after.

        The replay sends the same event again, and the store counts it as a duplicate.
        """
        first = find_telling(client, islice(past.replay(), WATCHED_EVENTS))
        if first is None:
            return
        bought = msgspec.structs.replace(first, event_time=datetime.now(UTC))
        self._account.sent([bought.event_id], repeated=True)
        change = watch_change(client, producer, bought, title=past.titles.get(first.item_id, first.item_id))
        print_table(self.stages.console, figures.change_table(change))

    def _shop(
        self, shoppers: Shoppers, live_began: int, report: Report, known: state.PlaygroundState, *, once: bool
    ) -> None:
        finished = threading.Event()

        def shop() -> None:
            try:
                shoppers.run(finished)
            except Exception as error:  # noqa: BLE001  # the main thread raises it
                self._failure = error
                finished.set()

        thread = threading.Thread(target=shop, name="shoppers")
        thread.start()
        try:
            self._watch(shoppers.counts, live_began, report, known, finished, once=once)
        finally:
            finished.set()
            thread.join()
            try:
                self._remember(known, shoppers.counts)
            except OSError as error:  # a full disk; the next start sends the last events again
                self.stages.say((f"the place in the replay is not saved: {error}", "yellow"))

    def _watch(
        self,
        counts: ShopperCounts,
        live_began: int,
        report: Report,
        known: state.PlaygroundState,
        finished: threading.Event,
        *,
        once: bool,
    ) -> None:
        """Restart ended processes, report the status, and return when the loop has closed."""
        next_status = time.monotonic() + STATUS_SECONDS
        next_health = 0.0
        deadline = time.monotonic() + LOOP_SECONDS
        while not finished.is_set() and not self.stop.wait(TICK_SECONDS):
            for child in self.supervisor.restart_dead():
                self.stages.say((f"{child.name} ended and is started again", "yellow"))
                if child.restarts > MAX_RESTARTS:
                    raise ProcessFailed(f"{child.name} ended {child.restarts} times:\n{child.tail()}")
            if time.monotonic() >= next_health:
                next_health = time.monotonic() + HEALTH_SECONDS
                for child, why in self.supervisor.restart_hung(time.monotonic()):
                    self.stages.say((f"{child.name} hung and is started again: {why}", "yellow"))
            closed = self._closed(live_began) if once else []
            report(f"{counts.produced:,} events, {counts.clicks:,} clicks", len(closed) / len(LOOP_PARTS))
            if len(closed) == len(LOOP_PARTS):
                return
            if once and time.monotonic() > deadline:
                missing = ", ".join(part for part in LOOP_PARTS if part not in closed)
                raise ProcessFailed(f"after {LOOP_SECONDS:g} s of live traffic still without: {missing}")
            if time.monotonic() >= next_status:
                next_status += STATUS_SECONDS
                try:
                    self._remember(known, counts)
                    self._say_status(counts, live_began)
                except (SQLAlchemyError, RedisError, OSError) as error:
                    if service_of(error) is None:
                        raise
                    self.stages.say((f"waiting: {reason(error)}", "yellow"))

    def _closed(self, live_began: int) -> list[str]:
        """Return the parts of the loop that have finished since `live_began` (epoch ms)."""
        with read(self.services.engine) as connection:
            clicked = ctr(connection, start=live_began, end=now_ms())
            drift = figures.newest_drift(connection, since=live_began)
            retrain = figures.newest_retrain(connection, since=live_began)
        parts = {
            "clicks": clicked.clicks > 0,
            "drift report": bool(drift and drift["report_html"]),
            "retrain": bool(retrain and retrain["outcome"] != "running"),
        }
        return [part for part in LOOP_PARTS if parts[part]]

    def _say_status(self, counts: ShopperCounts, live_began: int) -> None:
        with read(self.services.engine) as connection:
            self._account.take_stored(connection)
            rate = ctr(connection, start=live_began, end=now_ms())
            retrain = figures.newest_retrain(connection, since=live_began)
        fresh = figures.freshness(self.services.redis)
        shown = "no impressions yet" if rate.value is None else f"{rate.value:.2%} of {rate.impressions:,}"
        said = f"{counts.produced:,} events · clicked {shown} · list after {fresh['p50']} ms (p99 {fresh['p99']})"
        if retrain:
            said += f" · last retrain: {retrain['outcome']} ({retrain['trigger']})"
        self.stages.say(said)

    def _remember(self, known: state.PlaygroundState, counts: ShopperCounts) -> None:
        directory = self.services.settings["state_dir"]
        state.save(Path(directory), msgspec.structs.replace(known, next_row=counts.next_row))

    def _settle(self) -> None:
        """Wait until each event of this run is stored or a dead letter, and add the counts. Raises `NotAccounted`."""
        stream, account = self.services.config(StreamConfig), self._account

        def letters() -> Iterator[DeadLetter]:
            with Queue(stream) as queue:
                for queued in queue.letters():
                    if queued.letter is not None:
                        yield queued.letter

        try:
            settle(account, lambda: read(self.services.engine), letters, seconds=SETTLE_SECONDS)
        finally:
            total = self.outcome.events
            total.produced += account.produced
            total.stored += account.stored
            total.duplicate += account.duplicate
            total.dead += account.dead
