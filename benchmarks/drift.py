"""Drift: how often a quiet shop is called drifted, what is found within one window, and what a report costs.

Arrives: Online Retail II, 84.51 Complete Journey, the simulator. Leaves: a JSON file and a table. Next:
`docs/benchmarks.md`.

    python benchmarks/drift.py --online-retail online_retail_II.parquet --json drift.json

Quiet days are days of the real shops before the Christmas trade, and days of a simulated shop in which nothing changes.
Each is looked at every six hours with the settings and thresholds of a monitor that looks every hour. These looks use
the index of `monitoring.drift.psi`, which a test holds equal to Evidently's. Everything else goes through Evidently.

What is injected is found if the first report over a whole window (a day) after it says drift. With several shops or
days it must be found in all of them.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: put the repository root on the path instead of this directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import pandas as pd
from sqlalchemy import Connection

from benchmarks import drift_shops as shops
from graphstore.retention import DAY_MS
from graphstore.session import read
from graphstore.tables import HOUR_MS
from monitoring.config import MonitoringConfig
from monitoring.drift.assessment import assess, gather
from monitoring.drift.item_map import ChampionMap
from monitoring.drift.job import plan_drift_job
from monitoring.drift.judgement import Candidate, false_alarm_probability
from monitoring.drift.references import Comparison, comparison, plan_comparison
from monitoring.drift.verdict import DriftResult
from sagestream.simulation.injections import InjectionName
from sagestream.simulation.latent_world import OPENING
from stream.sources.datasets import complete_journey

LOOKS = 4
"""Looks a day. The windows of hourly looks share 23 of 24 hours, so more looks find little more."""
COST_ROWS = (10_000, 100_000, 1_000_000)
SIMULATED_DAY = 35
SIMULATED: dict[str, InjectionName] = {
    "new_catalogue": "catalogue_swap",
    "price_shock": "price_shock",
    "tracking_outage": "tracking_outage",
}
CONFIG = MonitoringConfig()


@dataclass
class Figures:
    """What was measured. `strengths` are the largest score divided by its threshold, by injection and shop."""

    quiet: dict[str, list[int]] = field(default_factory=dict)
    """By shop: [quiet days, days with a false alarm]."""
    found: dict[str, dict[str, bool]] = field(default_factory=dict)
    strengths: dict[str, dict[str, str]] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)

    def tell(self, name: str, shop: str, result: DriftResult) -> None:
        """Keep the verdict about an injection."""
        strongest = max(result.columns, key=lambda row: row.score / row.threshold, default=None)
        said = "no column" if strongest is None else f"{strongest.column} {strongest.score / strongest.threshold:.1f}"
        self.found.setdefault(name, {})[shop] = result.verdict == "drift"
        self.strengths.setdefault(name, {})[shop] = said
        print(f"{name}, {shop}: {result.verdict}, {said}", flush=True)

    def as_json(self) -> dict[str, Any]:
        """Return the figures for `--json`."""
        return {
            "quiet_days": sum(days for days, _ in self.quiet.values()),
            "false_alarms": sum(alarms for _, alarms in self.quiet.values()),
            "detected": {name: all(shops.values()) for name, shops in self.found.items()},
            "cost_seconds": self.costs,
            "by_shop": {"quiet": self.quiet, "detected": self.found, "strongest": self.strengths},
        }


def day_of(date: str) -> int:
    """Return the begin of a day (epoch ms)."""
    return int(pd.Timestamp(date).value // 10**6)


def quiet_days(store: shops.Store, days: Sequence[int]) -> list[int]:
    """Return [quiet days with a verdict, days with a false alarm]."""
    looked = alarmed = 0
    for day in days:
        verdicts = [v for look in range(LOOKS) if (v := quick_verdict(store, day + look * DAY_MS // LOOKS)) is not None]
        looked += bool(verdicts)
        alarmed += any(verdicts)
    return [looked, alarmed]


def quick_verdict(store: shops.Store, now: int) -> bool | None:
    """Return whether a column drifted, by our own index; None: not enough data."""
    with read(store.engine) as connection:
        windows = plan_comparison(
            connection,
            now=now,
            window_seconds=CONFIG.drift_window_seconds,
            reference_seconds=CONFIG.drift_reference_seconds,
        )
        if windows is None:
            return None
        gathered, _ = gather(connection, windows, ChampionMap())
    usable = [one for part in gathered for one in part.usable]
    probability = false_alarm_probability(
        len(usable), quiet_days=CONFIG.drift_quiet_days, interval_seconds=CONFIG.drift_interval_seconds
    )
    drifted = list(_drifted(usable, probability))
    if drifted:
        print(f"false alarm at {pd.Timestamp(now, unit='ms')}: {', '.join(drifted)}", flush=True)
    return bool(drifted) if usable else None


def _drifted(usable: Sequence[Candidate], probability: float) -> Iterator[str]:
    for one in usable:
        score = one.score()
        if one.null is not None and one.drifted(score, probability):
            yield f"{one.label} {score / one.null.threshold(probability):.2f}"


def look(connection: Connection, windows: Comparison, reports: Path | None = None) -> DriftResult:
    """Make one report."""
    return assess(
        connection,
        windows,
        quiet_days=CONFIG.drift_quiet_days,
        interval_seconds=CONFIG.drift_interval_seconds,
        reports_dir=reports,
        champion=ChampionMap(),
    )


def windows_at(end: int, trained_at: int | None = None) -> Comparison:
    """Return the windows with the default settings."""
    return comparison(end, CONFIG.drift_window_seconds, CONFIG.drift_reference_seconds, trained_at=trained_at)


def inject(
    figures: Figures, name: str, shop: str, store: shops.Store, ends: Sequence[int], change: shops.Change
) -> None:
    """Change the day before each of `ends` and look."""
    for number, end in enumerate(ends):
        windows = windows_at(end)
        with shops.changed(store, windows.current, change, number) as connection:
            figures.tell(name, f"{shop} {pd.Timestamp(end, unit='ms'):%Y-%m-%d}", look(connection, windows))


def real_shops(figures: Figures, options: argparse.Namespace, directory: Path) -> None:
    """Look at the two real shops."""
    changes = {
        "reversed_popularity": shops.reversed_popularity,
        "new_catalogue": shops.new_catalogue,
        "price_shock": shops.price_shock,
    }
    opened = {}
    if options.online_retail:
        opened["Online Retail II"] = shops.retail(options.online_retail, directory), "2010-02-15", "2010-10-16"
    opened["Complete Journey"] = shops.journey(directory, shoppers=options.shoppers), "2017-02-15", "2017-11-01"
    for name, (store, first, last) in opened.items():
        ends = [day_of(first) + 31 * DAY_MS * k for k in (1, 3)]
        for injection, change in changes.items():
            inject(figures, injection, name, store, ends, change)
        if name == "Online Retail II":
            for end in (day_of("2011-12-02"), day_of("2011-12-07")):
                with read(store.engine) as connection:
                    result = look(connection, windows_at(end, trained_at=day_of("2011-07-01")))
                figures.tell("december_against_june", f"{name} {pd.Timestamp(end, unit='ms'):%Y-%m-%d}", result)
        figures.quiet[name] = quiet_days(store, range(day_of(first), day_of(last), options.every * DAY_MS))
        print(f"{name}: {figures.quiet[name]}", flush=True)


def simulated_shop(figures: Figures, options: argparse.Namespace, directory: Path) -> None:
    """Look at the simulated shop, quiet and after each injection."""
    end = OPENING + (SIMULATED_DAY + 1) * DAY_MS
    quiet = shops.simulated(directory, None, day=SIMULATED_DAY, days=SIMULATED_DAY + options.quiet_days)
    inject(figures, "vanished_clicks", "simulated", quiet, [end], shops.vanished_clicks)
    inject(figures, "reversed_popularity", "simulated", quiet, [end], shops.reversed_popularity)
    for name, injected in SIMULATED.items():
        store = shops.simulated(directory, injected, day=SIMULATED_DAY, days=SIMULATED_DAY + 1)
        with read(store.engine) as connection:
            figures.tell(name, "simulated", look(connection, windows_at(end)))
    days = range(OPENING + SIMULATED_DAY * DAY_MS, OPENING + (SIMULATED_DAY + options.quiet_days) * DAY_MS, DAY_MS)
    figures.quiet["simulated"] = quiet_days(quiet, days)


def costs(figures: Figures, directory: Path, rows: Sequence[int]) -> None:
    """Measure the processor time of a whole report, with its files, over so many events in 29 days."""
    table = complete_journey.read()
    frame = table.interactions
    for number in rows:
        chosen = frame.sample(min(number, len(frame)), random_state=0).sort_values("event_time")
        times = chosen["event_time"].to_numpy()
        spread = (times - times[0]) / (times[-1] - times[0]) * (29 * DAY_MS - HOUR_MS)
        store = shops.stored(
            directory / f"cost{number}.db", chosen.assign(event_time=spread.astype("int64")), table.items
        )
        taken = []
        for part in range(2):  # the first report of a process also warms Evidently up
            began = time.process_time()
            job = plan_drift_job(store.engine, config=CONFIG, reports_dir=directory, now=30 * DAY_MS)
            assert job is not None
            with read(store.engine) as connection:
                look(connection, job.comparison, directory / f"reports{part}")
            taken.append(time.process_time() - began)
        figures.costs[str(number)] = round(taken[-1], 2)
        print(f"{number:,} events: {taken[-1]:.2f} s", flush=True)


def as_markdown(figures: Figures) -> str:
    """Return the tables for `docs/benchmarks.md`."""
    lines = ["| shop | quiet days | days with a false alarm |", "|---|---|---|"]
    lines += [f"| {shop} | {days} | {alarms} |" for shop, (days, alarms) in figures.quiet.items()]
    lines += [
        "",
        "| injected | shop and first day after it | found | strongest column, in multiples of its threshold |",
    ]
    lines += ["|---|---|---|---|"]
    for name, found in figures.found.items():
        for shop, is_found in found.items():
            said = figures.strengths[name][shop]
            lines.append(f"| {name.replace('_', ' ')} | {shop} | {'yes' if is_found else 'no'} | {said} |")
    lines += ["", "| events in the windows | processor seconds of a report |", "|---|---|"]
    lines += [f"| {int(rows):,} | {seconds:.1f} |" for rows, seconds in figures.costs.items()]
    return "\n".join(lines)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--online-retail", type=Path, help="online_retail_II.parquet; without it the shop is left out")
    parser.add_argument("--shoppers", type=int, help="households of Complete Journey (default: all)")
    parser.add_argument("--every", type=int, default=5, help="look at each so many-th day of the real shops")
    parser.add_argument("--quiet-days", type=int, default=30, help="days of the simulated shop")
    parser.add_argument("--rows", type=int, nargs="*", default=list(COST_ROWS), help="sizes whose cost is measured")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, print the tables, write the figures."""
    options = parse_arguments()
    figures = Figures()
    with tempfile.TemporaryDirectory() as kept:
        real_shops(figures, options, Path(kept))
        simulated_shop(figures, options, Path(kept))
        costs(figures, Path(kept), options.rows)
    print(as_markdown(figures))
    if options.json:
        options.json.write_text(json.dumps(figures.as_json(), indent=2) + "\n")


if __name__ == "__main__":
    main()
