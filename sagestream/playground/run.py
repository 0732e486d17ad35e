"""Playground: runs the whole loop on one machine with one command.

Arrives: options. Leaves: a running shop until Ctrl-C, or with `--once` one JSON object of measured figures.

The stages, in order: services, import, first champion (closed form), GraphSAGE, processes, live traffic
(`sagestream.playground.live`). All files are in one state directory, and a second start resumes from it.

The import and the first trainings run in two processes that end after their stage, so that their memory is free when
the shop runs. The second one loads its libraries while the first one imports.
"""

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from graphstore.errors import UserError, file_errors
from graphstore.locks import FileLock
from graphstore.session import now_ms, read
from sagestream.playground import address_file, models, state
from sagestream.playground.embedded import sagestream_command
from sagestream.playground.live import LiveTraffic
from sagestream.playground.memory import HAS_PSS, MemoryWatch
from sagestream.playground.options import Options
from sagestream.playground.outcome import Outcome, comparison_table
from sagestream.playground.past import Past, import_past
from sagestream.playground.processes import Child, Supervisor
from sagestream.playground.services import PROCESSES, Services, open_services
from sagestream.stages import Report, Stages
from serving.config import ServingConfig
from serving.web.dashboard.tokens import link, signing_key_of
from training.lifecycle.registry import CHAMPION, champion
from training.lifecycle.run_result import RunResult
from training.process import SpawnedProcess

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
            with SpawnedProcess(models.prepare, environment=models.ENVIRONMENT) as trainer:
                services = self.start_services()
                address_file.write(directory, services.addresses)
                past = self.import_past(services)
                self.first_champion(services, trainer)
                self.graphsage(services, trainer)
            self.start_processes(services)
            memory.all_running()
            self.live = True
            traffic = LiveTraffic(services, self.supervisor, self.stages, self.outcome, self.stop)
            traffic.run(past, self.options.rate, once=self.options.once, run_began=began)
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
            self.stages.say(("memory is told as RSS, shared pages counted in each process: no PSS here", "yellow"))
        if killed:
            self.stages.say((f"had to be killed: {', '.join(killed)}", "yellow"))
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
        self.port = services.web_port
        self.stages.say(services.said)
        return services

    def import_past(self, services: Services) -> Past:
        """Import the older events through the same sink as live events. The newest events are held out for replay."""
        with self.stages.stage("import", f"Import of {self.options.dataset}") as report, SpawnedProcess() as importer:
            past: Past = importer.call(import_past, self.options, services.settings, progress=report)
        for line in past.understood:
            self.stages.say(f"{self.options.dataset}: {line}")
        if past.stored is not None:
            counts = self.outcome.events
            counts.produced, counts.stored = past.stored.read, past.stored.stored
            counts.duplicate = past.stored.duplicate
        graph = past.counts
        self.stages.say(
            f"graph: {graph['users']:,} shoppers, {graph['items']:,} items, {graph['interactions']:,} events, "
            f"{graph['edges']:,} edges; {past.upcoming:,} events kept for replay"
        )
        for reason, rows in past.rejected.items():
            if rows:
                self.stages.say(f"left out: {rows:,} rows, {reason}")
        return past

    def first_champion(self, services: Services, trainer: SpawnedProcess) -> None:
        """Train the closed-form terms and publish the first lists within a minute. A later start only publishes."""
        with self.stages.stage("first_champion", "First champion, closed form") as report:
            with read(services.engine) as connection:
                known = champion(connection)
            if known is None:
                self._train(services, trainer, "closed_form", report)
        self._publish(services, trainer, "first_lists", "Lists into Redis")
        self.outcome.first_list_seconds = self.stages.elapsed
        self.stages.say(
            ("the first personal lists are there", "bold"), f", {self.stages.elapsed:.1f} s after the start"
        )

    def graphsage(self, services: Services, trainer: SpawnedProcess) -> None:
        """Train GraphSAGE and apply the gate, as for any challenger. A later start leaves this to the scheduler."""
        with read(services.engine) as connection:
            known = champion(connection)
        if known is not None and known.kind != "closed_form" and not self.options.once:
            self.stages.say(f"champion: {known.model_version} ({known.kind}), goes on learning")
            return
        with self.stages.stage("graphsage", "GraphSAGE") as report:
            result = self._train(services, trainer, "graphsage", report)
        self.outcome.graphsage_seconds = result.seconds
        self.outcome.baselines = {
            name: {metric: metrics[metric] for metric in ("ndcg@20", "recall@20")}
            for name, metrics in result.comparison.items()
            if name != CHAMPION
        }
        rows = {**result.comparison, result.kind: result.metrics}
        self.stages.console.print(comparison_table("The held-out window", rows, [result.kind]))
        self.stages.say("gate: ", (result.verdict, "bold"), f", {'; '.join(result.reasons)}")
        self._publish(services, trainer, "champion_lists", "Lists of the champion")

    def _train(
        self, services: Services, trainer: SpawnedProcess, kind: Literal["closed_form", "graphsage"], report: Report
    ) -> RunResult:
        result: RunResult = trainer.call(models.train, services.settings, kind, self.options.seed, progress=report)
        return result

    def _publish(self, services: Services, trainer: SpawnedProcess, name: str, what: str) -> None:
        with self.stages.stage(name, what):
            trainer.call(models.publish, services.settings)

    def start_processes(self, services: Services) -> None:
        """Start the same verbs that a shop runs, each as a supervised child process."""
        logs = self.options.state_dir / "logs"
        with self.stages.stage("processes", "Processes") as report:
            services.release_web_port()
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
        self.stages.say("shop: ", (f"{url}/", "bold"), f" · API: {url}/api/docs/ · logs: {logs}")
        self.stages.say("the tag on a page of another origin: ", (f"http://localhost:{self.port}/demo/", "bold"))
        self.stages.say("dashboard: ", (f"{url}{dashboard_link(services)}", "bold"), " (works once, within an hour)")


def lock_directory(directory: Path) -> FileLock:
    """Create and lock the directory, because two playgrounds would write to one database and one Redis log."""
    with file_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / state.LOCK)
        taken = lock.acquire()
    if not taken:
        raise state.StateInUse(f"another playground runs on {directory}: stop it, or take another --state-dir")
    return lock


def dashboard_link(services: Services) -> str:
    """Return the path that opens the dashboard of these services once. Its token stays in the browser's address bar."""
    return link(signing_key_of(services.config(ServingConfig)), now=now_ms())


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
