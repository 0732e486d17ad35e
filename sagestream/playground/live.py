"""Live traffic: replays the held-out events as live shoppers, as the last stage of the playground.

Arrives: running services and processes, and the held-out events of the data set. Leaves: measured figures in the
outcome. The stage ends when the loop has closed once, or when the user stops it.
"""

import random
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import RedisError
from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from graphstore import queries
from graphstore.errors import reason
from graphstore.outages import service_of
from graphstore.session import now_ms, read, write
from monitoring.attribution import attribute
from monitoring.ctr import ctr
from sagestream.playground import outcome as figures
from sagestream.playground import state
from sagestream.playground.outcome import Outcome
from sagestream.playground.processes import ProcessFailed, Supervisor
from sagestream.playground.services import Services
from sagestream.playground.shoppers import ShopClient, ShopperCounts, Shoppers, find_telling, watch_change
from sagestream.stages import Report, Stages
from sagestream.tables import print_table
from serving import cache
from stream import events
from stream.config import StreamConfig
from stream.kafka.producer import EventProducer
from stream.sources.table import EventTable

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
    _failure: Exception | None = None

    def run(self, table: EventTable, known: state.PlaygroundState, rate: float, *, once: bool, run_began: int) -> None:
        """Replay from the saved row: with `once` until the loop has closed, else until `stop` is set.

        `rate` is in events a second, `run_began` in epoch ms.
        """
        url = f"http://127.0.0.1:{self.services.port('serve')}"
        client = ShopClient(url, self.services.settings["api_key"])
        live_began = now_ms()
        self.services.redis.delete(cache.FRESHNESS)  # measurements of an earlier run
        stored_before = self._stored()
        extra = 0
        with EventProducer(self.services.config(StreamConfig)) as producer:
            extra += self._show_a_change(table, known, client, producer)
            if once:
                producer.send_raw(events.INTERACTIONS, MALFORMED, key=b"nobody")
                extra += 1
            shoppers = Shoppers(table, known.next_row, producer, client, rate, random.Random(known.next_row))
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
            self._settle(counts.produced + extra, stored_before)
        with write(self.services.engine) as connection:
            # Run the monitor's idempotent step now, because its next pass may be seconds away and miss the last clicks.
            attribute(connection, now=now_ms(), lookback_seconds=LOOP_SECONDS)
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

    def _show_a_change(
        self, table: EventTable, known: state.PlaygroundState, client: ShopClient, producer: EventProducer
    ) -> int:
        """Send one of the next purchases and show the list before and after. Return the number of produced events.

        The replay sends the same event again, and the store counts it as a duplicate.
        """
        upcoming = table.events(known.next_row, min(known.next_row + WATCHED_EVENTS, len(table)))
        first = find_telling(client, upcoming)
        if first is None:
            return 0
        titles = {item.item_id: item.title for item in table.items}
        bought = msgspec.structs.replace(first, event_time=datetime.now(UTC))
        change = watch_change(client, producer, bought, title=titles.get(first.item_id, first.item_id))
        print_table(self.stages.console, figures.change_table(change))
        return 1

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
                self.stages.say(f"[yellow]the place in the replay is not saved: {error}[/yellow]")

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
                self.stages.say(f"[yellow]{child.name} ended and is started again[/yellow]")
                if child.restarts > MAX_RESTARTS:
                    raise ProcessFailed(f"{child.name} ended {child.restarts} times:\n{child.tail()}")
            if time.monotonic() >= next_health:
                next_health = time.monotonic() + HEALTH_SECONDS
                for child, why in self.supervisor.restart_hung(time.monotonic()):
                    self.stages.say(f"[yellow]{child.name} hung and is started again: {escape(why)}[/yellow]")
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
                    self.stages.say(f"[yellow]waiting: {reason(error)}[/yellow]")

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

    def _settle(self, produced: int, stored_before: int) -> None:
        """Wait until the worker has handled all produced events, and count the outcomes."""
        total = self.outcome.events
        imported = replace(total)
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            told = self._told_by_worker()
            stored = self._stored() - stored_before
            duplicate, dead = told.get("duplicate", 0), told.get("dead", 0)
            total.stored = imported.stored + stored
            total.duplicate = imported.duplicate + duplicate
            total.dead = dead
            # May exceed `produced`: a visitor of the page bought something, or an earlier run left messages.
            total.produced = imported.produced + max(produced, stored + duplicate + dead)
            if total.settled() or time.monotonic() > deadline:
                return
            time.sleep(0.2)

    def _told_by_worker(self) -> dict[str, int]:
        """Return the worker's counts of interactions by outcome, or an empty dict while it is unreachable."""
        url = f"http://127.0.0.1:{self.services.port('worker')}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, TimeoutError):
            return {}
        return {
            sample.labels["outcome"]: int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "sagestream_events_total" and sample.labels["topic"] == events.INTERACTIONS
        }

    def _stored(self) -> int:
        with read(self.services.engine) as connection:
            return queries.counts(connection)["interactions"]
