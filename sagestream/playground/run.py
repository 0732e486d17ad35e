"""Playground: runs the whole loop on one machine with one command.

Arrives: options. Leaves: a running shop until Ctrl-C, or with `--once` one JSON object of measured figures.

The stages, in order: services, import, first champion (closed form), GraphSAGE, processes, live traffic
(`sagestream.playground.live`). All files are in one state directory, and a second start resumes from it.
"""

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from graphstore import queries
from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError, file_errors
from graphstore.locks import FileLock
from graphstore.session import now_ms, read
from sagestream.datasets import read_dataset
from sagestream.playground import address_file, state
from sagestream.playground.embedded import sagestream_command
from sagestream.playground.live import LiveTraffic
from sagestream.playground.memory import HAS_PSS, MemoryWatch
from sagestream.playground.outcome import Outcome, comparison_table
from sagestream.playground.processes import Child, Supervisor
from sagestream.playground.services import PROCESSES, Given, Services, open_services
from sagestream.stages import Report, Stages
from serving.config import ServingConfig
from serving.publisher import Publisher
from serving.source import ShopSource
from stream import replay
from stream.sources.table import EventTable
from stream.worker.sink import Sink
from training.config import TrainingConfig
from training.config_file import current_config
from training.lifecycle.registry import champion
from training.lifecycle.run import RunSpec, run_training
from training.lifecycle.run_result import RunResult
from training.lifecycle.trial import CHAMPION
from training.options import TrainingOptions

FUTURE_SHARE = 0.1
"""The share of events, the newest ones, that the import leaves out. They are replayed as live traffic."""

READY_SECONDS = 120.0
READY_PROBE_SECONDS = 2.0

PACE = {
    "monitor_interval_seconds": "3",
    "drift_interval_seconds": "30",
    "scheduler_tick_seconds": "2",
    "scheduler_stop_seconds": "3",
    "retrain_min_events": "3000",
}
"""Short intervals for a demonstration: seconds instead of hours. A value set in the environment wins."""

ONCE_PACE = {**PACE, "retrain_min_events": "400"}
"""With `--once` the first few hundred live events trigger a retrain."""


@dataclass(frozen=True)
class Options:
    """Options of the command line. `sample` is a number of shoppers, None for all."""

    state_dir: Path
    dataset: str
    sample: int | None
    min_item_users: int
    rate: float
    seed: int
    port: int
    fresh: bool = False
    once: bool = False
    given: Given = field(default_factory=Given)


class PlaygroundFailed(UserError):
    """The loop is not complete. The message names the missing parts."""


@dataclass
class Playground:
    """One run. When `run` returns or raises, all its processes are stopped."""

    options: Options
    stages: Stages
    stop: threading.Event = field(default_factory=threading.Event)
    supervisor: Supervisor = field(default_factory=Supervisor)
    outcome: Outcome = field(default_factory=Outcome)
    live: bool = False
    """Whether the last stage has started. Only this stage checks `stop`."""
    port: int = 0
    """The shop's port, set when the services are ready."""

    def run(self) -> None:
        """Run all stages: with `once` until the loop has closed, else until `stop` is set. Fills `outcome`.

        Raises `PlaygroundFailed` when a run with `once` is not complete, and the errors of the stages.
        """
        began = now_ms()
        directory = self.options.state_dir
        lock = lock_directory(directory)
        if self.options.fresh:
            state.remove(directory)
            lock.release()
            lock = lock_directory(directory)
        memory = MemoryWatch()
        memory.start()
        services = None
        try:
            services = self.start_services()
            address_file.write(directory, services.addresses)
            table, remembered = self.import_past(services)
            self.first_champion(services)
            self.graphsage(services)
            self.start_processes(services)
            memory.all_running()
            self.live = True
            traffic = LiveTraffic(services, self.supervisor, self.stages, self.outcome, self.stop)
            traffic.run(table, remembered, self.options.rate, once=self.options.once, run_began=began)
        finally:
            address_file.remove(directory)
            with self.stages.stage("stop", "Stop"):
                killed = self.supervisor.stop()
            if services is not None:
                services.close()
            lock.release()
            memory.stop()
            self.outcome.peak_pss_mb, self.outcome.quiet_pss_mb = memory.peak_pss_mb, memory.quiet_pss_mb
            self.outcome.peak_rss_mb = memory.peak_rss_mb
            self.outcome.seconds = self.stages.elapsed
            self.outcome.stages = self.stages.seconds
        if not HAS_PSS:
            self.stages.say("[yellow]memory is told as RSS, shared pages counted in each process: no PSS here[/yellow]")
        if killed:
            self.stages.say(f"[yellow]had to be killed: {', '.join(killed)}[/yellow]")
        if self.options.once and (missing := self.outcome.missing()):
            raise PlaygroundFailed("the loop was not walked whole: " + "; ".join(missing))

    def start_services(self) -> Services:
        """Open the given broker, Redis and database, and start the missing ones as children."""
        options = self.options
        with self.stages.stage("services", "Services"):
            services = open_services(
                options.state_dir,
                self.supervisor,
                options.given,
                web_port=options.port,
                pace=ONCE_PACE if options.once else PACE,
                environment=os.environ,
            )
        self.outcome.broker = services.broker
        self.port = services.port("serve")
        self.stages.say(services.said)
        return services

    def import_past(self, services: Services) -> tuple[EventTable, state.PlaygroundState]:
        """Import the older events through the same sink as live events. The newest events are held out for replay."""
        options = self.options
        known = state.load(options.state_dir)
        with self.stages.stage("import", f"Import of {options.dataset}") as report:
            report("reading the data set", 0.0)
            table = read_dataset(
                options.dataset, sample=options.sample, min_item_users=options.min_item_users, seed=options.seed
            )
            if known is not None:
                known.check(options.dataset, options.sample, options.min_item_users, options.seed)
            if known is None or not known.imported:
                known = self._store_past(services, table, known or self._begin(table), report)
        with read(services.engine) as connection:
            counts = queries.counts(connection)
        self.stages.say(
            f"graph: {counts['users']:,} shoppers, {counts['items']:,} items, {counts['interactions']:,} events, "
            f"{counts['edges']:,} edges; {len(table) - known.next_row:,} events kept for replay"
        )
        for reason, rows in table.rejected.items():
            if rows:
                self.stages.say(f"left out: {rows:,} rows, {reason}")
        return table, known

    def _begin(self, table: EventTable) -> state.PlaygroundState:
        """Choose the split row, and save it before the first event is stored."""
        options = self.options
        split = table.split(FUTURE_SHARE)
        known = state.PlaygroundState(
            dataset=options.dataset,
            sample=options.sample,
            min_item_users=options.min_item_users,
            seed=options.seed,
            split_row=split,
            # Shift the imported events so that they end now. A replayed event gets its time when it is sent.
            shift_ms=now_ms() - int(table.interactions["event_time"].iloc[split]),
            next_row=split,
            imported=False,
        )
        state.save(options.state_dir, known)
        return known

    def _store_past(
        self, services: Services, table: EventTable, known: state.PlaygroundState, report: Report
    ) -> state.PlaygroundState:
        split = known.split_row
        sink = Sink(services.engine, services.redis)
        sink.store_items(table.items, now=now_ms())
        done = replay.store(
            sink,
            table.events(0, split, shift_ms=known.shift_ms),
            now=now_ms,
            report=lambda done: report(f"{done.read:,} of {split:,} events", done.read / split),
        )
        sink.refresh_trending(now=now_ms())
        counts = self.outcome.events
        counts.produced, counts.stored, counts.duplicate = done.read, done.stored, done.duplicate
        known = msgspec.structs.replace(known, imported=True)
        state.save(self.options.state_dir, known)
        return known

    def first_champion(self, services: Services) -> None:
        """Train the closed-form terms and publish the first lists within a minute. A later start only publishes."""
        with self.stages.stage("first_champion", "First champion, closed form") as report:
            with read(services.engine) as connection:
                known = champion(connection)
            if known is None:
                self._train(services, "closed_form", report)
        self._publish(services, "first_lists", "Lists into Redis")
        self.outcome.first_list_seconds = self.stages.elapsed
        self.stages.say(f"[bold]the first personal lists are there[/bold], {self.stages.elapsed:.1f} s after the start")

    def graphsage(self, services: Services) -> None:
        """Train GraphSAGE and apply the gate, as for any challenger. A later start leaves this to the scheduler."""
        with read(services.engine) as connection:
            known = champion(connection)
        if known is not None and known.kind != "closed_form" and not self.options.once:
            self.stages.say(f"champion: {known.model_version} ({known.kind}), goes on learning")
            return
        with self.stages.stage("graphsage", "GraphSAGE") as report:
            result = self._train(services, "graphsage", report)
        self.outcome.graphsage_seconds = result.seconds
        self.outcome.baselines = {
            name: {metric: metrics[metric] for metric in ("ndcg@20", "recall@20")}
            for name, metrics in result.comparison.items()
            if name != CHAMPION
        }
        rows = {**result.comparison, result.kind: result.metrics}
        self.stages.console.print(comparison_table("The held-out window", rows, [result.kind]))
        self.stages.say(f"gate: [bold]{result.verdict}[/bold], {'; '.join(result.reasons)}")
        self._publish(services, "champion_lists", "Lists of the champion")

    def _train(self, services: Services, kind: Literal["closed_form", "graphsage"], report: Report) -> RunResult:
        return run_training(
            services.engine,
            RunSpec(kind, "playground"),
            graph=services.config(GraphstoreConfig),
            config=current_config(services.config(TrainingConfig)),
            now=now_ms,
            options=TrainingOptions(seed=self.options.seed, progress=report),
        )

    def _publish(self, services: Services, name: str, what: str) -> None:
        serving = services.config(ServingConfig)
        with self.stages.stage(name, what):
            Publisher(ShopSource(services.engine), services.redis, serving).reconcile()

    def start_processes(self, services: Services) -> None:
        """Start the same verbs that a shop runs, each as a supervised child process."""
        logs = self.options.state_dir / "logs"
        with self.stages.stage("processes", "Processes") as report:
            children = {
                verb: self.supervisor.start(
                    Child(
                        verb,
                        sagestream_command(verb),
                        logs / f"{verb}.log",
                        services.environment,
                        tier=1,
                        health=_health(services.port(verb)),
                    )
                )
                for verb in PROCESSES
            }
            for done, (verb, child) in enumerate(children.items()):
                report(verb, done / len(children))
                readiness = _Readiness(services.port(verb))
                child.wait_ready(readiness.ask, READY_SECONDS, lambda readiness=readiness: readiness.missing)  # type: ignore[misc]
        url = f"http://127.0.0.1:{self.port}"
        self.stages.say(f"shop: [bold]{url}/[/bold] · API: {url}/api/docs/ · logs: {logs}")


def lock_directory(directory: Path) -> FileLock:
    """Create and lock the directory, because two playgrounds would write to one database and one Redis log."""
    with file_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / state.LOCK)
        taken = lock.acquire()
    if not taken:
        raise state.StateInUse(f"another playground runs on {directory}: stop it, or take another --state-dir")
    return lock


def _health(port: int) -> Callable[[], str]:
    """Return a function that asks the process on the port whether it makes progress."""

    def ask() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=READY_PROBE_SECONDS):
                return "ok"
        except urllib.error.HTTPError as error:
            with error:
                return error.read(1000).decode(errors="replace")
        except OSError as error:
            return f"no answer on port {port}: {error}"

    return ask


@dataclass
class _Readiness:
    """Asks the process on a port whether it is ready."""

    port: int
    missing: str = "its port is closed"
    """What it said last: each change is progress."""

    def ask(self) -> bool:
        url = f"http://127.0.0.1:{self.port}/readyz"
        try:
            with urllib.request.urlopen(url, timeout=READY_PROBE_SECONDS) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            with error:
                self.missing = error.read(1000).decode(errors="replace")
        except OSError:
            pass  # it starts, or the machine is busy
        return False
