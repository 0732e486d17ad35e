"""Triggers: how often a quiet shop is asked to retrain, how soon a fall is found, and what a tracking outage does.

    python benchmarks/triggers.py --json OUT

Quiet shops and falls go through the level watch and the bound of `monitoring.triggers.fall`, hour by hour, as a monitor
that looks after each hour. Outages go through a whole monitor on SQLite, with a look every ten minutes.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, func, insert, select, update

if __package__ in (None, ""):  # run as a file: put the repository root on the path instead of this directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.hourly_clicks import MONDAY, ShopKind, made_up_hours
from graphstore.session import migrate, open_engine, read, write
from graphstore.tables import HOUR_MS, alarms, item_buckets, retrain_requests
from monitoring.config import MonitoringConfig
from monitoring.run import Monitor
from monitoring.triggers.fall import SETTLE_MS, fallen
from monitoring.triggers.hours import Hour
from monitoring.triggers.level_watch import LevelWatch, correlation, working_rate
from monitoring.windows import ALL, Figure, TimeWindow, write_figures
from training.lifecycle.registry import WAITING

QUIET_DAYS = 60
LEARN_HOURS = 14 * 24
"""The working rate and the correlation come from the first hours, so that nothing is known of the future."""
QUIET = {
    "100 an hour": ShopKind(100),
    "1,000 an hour": ShopKind(1_000),
    "5,000 an hour": ShopKind(5_000),
    "30,000 an hour": ShopKind(30_000),
    "5,000 an hour, days ±3 %, hours ±5 %": ShopKind(5_000, hour_noise=0.05, day_noise=0.03),
}
FALLS = {
    "5,000 an hour": ShopKind(5_000, traffic_cycle=0.0),
    "5,000 an hour, more by day": ShopKind(5_000),
    "5,000 an hour, days ±3 %, hours ±5 %": ShopKind(5_000, hour_noise=0.05, day_noise=0.03),
    "30,000 an hour": ShopKind(30_000),
    "1,000 an hour": ShopKind(1_000),
    "100 an hour": ShopKind(100),
}
BEFORE_DAYS = 28
AFTER_DAYS = 28
FALL = 0.2
LOOK_MS = 600_000

Vanishing = Literal["clicks", "lists", "everything"]
OUTAGE_HOURS = 8
EVENTS_A_LIST = 3


@dataclass(frozen=True)
class Asked:
    """A request: how many hours had passed, and how large the fall was said to be."""

    hours: int
    fall: float


def requests(hours: Iterable[Hour], *, rate: float, alike: float) -> list[Asked]:
    """Return the requests of a monitor that looks after each hour. A request restarts the watch."""
    watch, asked = LevelWatch(rate, alike), []
    for number, hour in enumerate(hours, 1):
        watch.add(hour)
        evidence = watch.evidence()
        if fallen(evidence):
            asked.append(Asked(number, evidence.fall))
            watch.restart()
    return asked


def followed(shop: ShopKind, days: int, seed: int, *, level: Callable[[int], float] = lambda hour: 1.0) -> list[Asked]:
    """Return the requests in a made-up shop."""
    hours = list(made_up_hours(shop, days * 24, seed, level=level))
    first = hours[:LEARN_HOURS]
    return requests(hours, rate=working_rate(first), alike=correlation(first))


def measure_quiet(shop: ShopKind, seeds: Iterable[int]) -> dict[str, Any]:
    """Return the false requests of quiet shops: in all of them, and the mean of one."""
    counts = [len(followed(shop, QUIET_DAYS, seed)) for seed in seeds]
    return {"shops": len(counts), "requests": sum(counts), "each": sum(counts) / len(counts), "most": max(counts)}


def measure_fall(shop: ShopKind, seeds: Iterable[int]) -> dict[str, Any]:
    """Return how often a lasting fall asked, and the hours until then, over shops whose fall begins at all times."""
    delays, counts, false = [], [], 0
    for seed in seeds:
        begins = BEFORE_DAYS * 24 + seed * 7 % 168

        def level(hour: int, begins: int = begins) -> float:
            return 1 - FALL if hour >= begins else 1.0

        asked = [one.hours - begins for one in followed(shop, BEFORE_DAYS + 7 + AFTER_DAYS, seed, level=level)]
        false += sum(hours <= 0 for hours in asked)
        found = [hours for hours in asked if hours > 0]
        counts.append(len(found))
        delays += found[:1] or [AFTER_DAYS * 24]
    late = SETTLE_MS / HOUR_MS  # an hour is judged some minutes after its end
    return {
        "shops": len(counts),
        "requests": sum(counts) / len(counts),
        "most_requests": max(counts),
        "false_before": false,
        "hours": float(np.median(delays)) + late,
        "hours_90_percent": float(np.quantile(delays, 0.9)) + late,
        "within_6_hours": float(np.mean([delay + late <= 6.1 for delay in delays])),
    }


def measure_outage(shop: ShopKind, vanishing: Vanishing, seed: int, directory: Path) -> dict[str, Any]:
    """Let a monitor live through an outage that begins within an hour. Return its requests and alarms."""
    begins = BEFORE_DAYS * 24 + 9 + seed * 5
    start = MONDAY + begins * HOUR_MS + HOUR_MS // 3
    end = start + OUTAGE_HOURS * HOUR_MS
    url = f"sqlite:///{directory.resolve() / f'{vanishing}-{shop.impressions_an_hour:.0f}-{seed}.db'}"
    migrate(url)
    engine = open_engine(url)
    monitor = Monitor(engine, config=MonitoringConfig(), state_dir=directory)
    truth = list(made_up_hours(shop, begins + 72, seed))
    try:
        with write(engine) as connection:
            for hour in truth[: begins - 1]:
                store_hour(connection, hour, hour.served * EVENTS_A_LIST)
        for now in range(MONDAY + (begins - 1) * HOUR_MS + LOOK_MS, MONDAY + (begins + 71) * HOUR_MS, LOOK_MS):
            with write(engine) as connection:
                for number in {(now - 2 * LOOK_MS - MONDAY) // HOUR_MS, (now - MONDAY) // HOUR_MS}:
                    hour = truth[number]
                    store_hour(connection, *_observed(hour, vanishing, TimeWindow(start, end), now))
                # A run answers each request at once.
                waiting = update(retrain_requests).where(retrain_requests.c.status == WAITING)
                connection.execute(waiting.values(status="answered"))
            monitor.check_alarms(now=now)
            monitor.ask(None, now=now)
        with read(engine) as connection:
            asked = connection.scalar(select(func.count()).select_from(retrain_requests)) or 0
            rows = connection.execute(select(alarms)).all()
    finally:
        engine.dispose()
    return {
        "requests": asked,
        "alarms": len(rows),
        "hours": (rows[0].started_at - start) / HOUR_MS if rows else None,
        "hours_to_end": (rows[0].ended_at - end) / HOUR_MS if rows and rows[0].ended_at else None,
    }


def _observed(hour: Hour, vanishing: Vanishing, outage: TimeWindow, now: int) -> tuple[Hour, float]:
    """Return the hour and its events as they are stored at `now`."""
    passed = min(now - hour.start, HOUR_MS) / HOUR_MS
    until = min(hour.end, now)
    broken = max(min(until, outage.end) - max(hour.start, outage.start), 0) / HOUR_MS
    lists = passed - (broken if vanishing != "clicks" else 0.0)
    clicks = passed - broken
    events = passed - (broken if vanishing == "everything" else 0.0)
    stored = replace(
        hour,
        impressions=hour.impressions * lists,
        squares=hour.squares * lists,
        clicks=hour.clicks * clicks,
        click_squares=hour.click_squares * clicks,
        products=hour.products * clicks,
        served=hour.served * lists,
        confirmed=hour.confirmed * lists,
    )
    return stored, hour.served * EVENTS_A_LIST * events


def store_hour(connection: Connection, hour: Hour, events: float) -> None:
    """Write the hour as the monitor counts it, and the events as the worker does."""
    detail = {
        "impressions": hour.impressions,
        "clicks": hour.clicks,
        "lists": hour.served,
        "fetched": 0,
        "shown_by_event": hour.served - hour.confirmed,
        "cluster": {"xx": hour.squares, "yy": hour.click_squares, "xy": hour.products},
    }
    rate = hour.clicks / hour.impressions if hour.impressions else None
    write_figures(connection, [Figure("ctr", ALL, TimeWindow(hour.start, hour.end), rate, detail=detail)])
    bucket = {"hour": hour.start // HOUR_MS, "item_key": 1}
    same = (item_buckets.c.hour == bucket["hour"]) & (item_buckets.c.item_key == 1)
    if not connection.execute(update(item_buckets).where(same).values(views=round(events))).rowcount:
        connection.execute(insert(item_buckets).values(**bucket, views=round(events)))


def main(words: Sequence[str] | None = None, *, say: Callable[[str], None] = print) -> None:
    """Measure all cases and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--shops", type=int, default=24, help="made-up shops of each kind")
    parser.add_argument("--seed", type=int, default=1_000)
    given = parser.parse_args(words)
    seeds = range(given.seed, given.seed + given.shops)
    quiet, falls, outages = {}, {}, {}
    for name, shop in QUIET.items():
        quiet[name] = measure_quiet(shop, seeds)
        say(f"quiet, {name}: {quiet[name]}")
    for name, shop in FALLS.items():
        falls[name] = measure_fall(shop, seeds)
        say(f"fall by {FALL:.0%}, {name}: {falls[name]}")
    kinds: tuple[Vanishing, ...] = ("clicks", "lists", "everything")
    with tempfile.TemporaryDirectory() as directory:
        for kind in kinds:
            for each in (500, 5_000):
                shops = [measure_outage(ShopKind(each), kind, seed, Path(directory)) for seed in range(2)]
                outages[f"{kind}, {each:,} an hour"] = shops
                say(f"outage, {kind}, {each:,} an hour: {shops}")
    asked = [one for shops in outages.values() for one in shops]
    told = {
        "quiet_days": QUIET_DAYS,
        # The mean of a shop, of the kind where it is largest.
        "false_requests": max(one["each"] for one in quiet.values()),
        "fall_20_percent": falls["5,000 an hour"],
        "outage": {
            "requests": max(one["requests"] for one in asked),
            "alarms": max(one["alarms"] for one in asked),
            "least_alarms": min(one["alarms"] for one in asked),
        },
        "quiet": quiet,
        "falls": falls,
        "outages": outages,
    }
    given.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
