"""Dashboard: what a set of pages costs the monitor, in a shop with a thousand days of figures and a large catalogue.

Arrives: the number of days, segments and items. Leaves: CPU seconds of each page, of the whole set, and of a steady
pass. Next: `docs/benchmarks.md`.

Run: python -m benchmarks.dashboard --days 1000 --json dashboard.json
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from redis import Redis
from sqlalchemy import Connection, Engine, insert

from graphstore.redis import hot
from graphstore.session import migrate, open_engine, read, write
from graphstore.tables import item_buckets, items, metric_windows, models, promotions, training_runs
from monitoring.counts import METRIC, Counts
from monitoring.dashboard.catalogue import copy_catalogue
from monitoring.dashboard.series import DAY, HOUR
from monitoring.dashboard.show import PACE_SECONDS, Dashboard
from monitoring.windows import ALL
from sagestream.playground.embedded import start_redis
from serving.dashboard.store import PREFIX

NOW = 1_700_000_000_000
IMPRESSIONS = 1_000_000
"""Impressions of a day."""
HOURS_KEPT = 400 * 24
SEGMENTS = (
    ALL,
    *(f"slot:slot-{n}" for n in range(8)),
    *(f"position:{n}" for n in range(21)),
    *(f"source:{name}" for name in ("model", "popular", "explored", "near-line")),
    *(f"kind:{name}" for name in ("closed_form", "graphsage", "incremental")),
    "variant:champion",
    "variant:previous",
)
ROWS = 5_000


def fill(connection: Connection, days: int, catalogue: int, rng: np.random.Generator) -> int:
    """Write figures, models, runs and items; return the number of figures."""
    made = []
    for segment in SEGMENTS:
        spans = [(NOW // DAY * DAY - ago * DAY, DAY) for ago in range(days)]
        spans += [(NOW // HOUR * HOUR - ago * HOUR, HOUR) for ago in range(min(HOURS_KEPT, days * 24))]
        made += [_figure(segment, start, width, rng) for start, width in spans]
    for start in range(0, len(made), ROWS):
        connection.execute(insert(metric_windows), made[start : start + ROWS])
    model = {"kind": "graphsage", "snapshot_id": "s", "bundle": "b", "gate": '{"verdict": "kept", "reasons": ["a"]}'}
    count = days * 4
    connection.execute(
        insert(models),
        [
            {"model_version": f"m{NOW - n * 6 * HOUR:013d}-{n}", "status": "kept" if n else "champion", **model,
             "created_at": NOW - n * 6 * HOUR} for n in range(count)
        ],
    )  # fmt: skip
    run = {"kind": "graphsage", "trigger": "time", "status": "kept"}
    runs = [{"run_id": f"r{NOW - n * HOUR:013d}-{n}", "started_at": NOW - n * HOUR, **run} for n in range(count)]
    connection.execute(insert(training_runs), runs)
    change = {"action": "promote", "to_version": "m", "who": "run", "why": "gate", "detail": "{}"}
    connection.execute(insert(promotions), [{"at": NOW - n * DAY, **change} for n in range(days)][::-1])
    for start in range(0, catalogue, ROWS):
        keys = range(start + 1, min(start + ROWS, catalogue) + 1)
        named = [{"item_key": key, "item_id": f"i{key}", "title": f"thing {key}", "price": 1.0} for key in keys]
        connection.execute(insert(items), named)
    hours = [NOW // HOUR - ago for ago in range(8 * 24)]
    for hour in hours:
        chosen = np.unique(rng.zipf(1.3, 5_000) % catalogue + 1)
        connection.execute(
            insert(item_buckets), [{"hour": hour, "item_key": int(key), "views": 3, "clicks": 1} for key in chosen]
        )
    return len(made)


def _figure(segment: str, start: int, width: int, rng: np.random.Generator) -> dict[str, Any]:
    shown = int(rng.poisson(IMPRESSIONS * width / DAY))
    clicks, bought, people = int(rng.binomial(shown, 0.04)), int(rng.binomial(shown, 0.004)), shown // 20
    cluster = {"n": people, "xx": 25 * shown, "yy": 3 * clicks, "xy": 24 * clicks, "cc": 3 * bought, "xc": 24 * bought}
    cluster |= {"pp": 2 * bought, "xp": 24 * bought}
    counts = Counts(lists=shown // 10, fetched=shown // 50, impressions=shown, viewers=people, clicks=clicks,
                    carts=2 * bought, purchases=bought, orders=bought, revenue={"EUR": 20.0 * bought},
                    refunds={"EUR": 1.0 * bought}, cluster=cluster)  # fmt: skip
    rate = counts.ctr()
    return {
        "metric": METRIC,
        "segment": segment,
        "window_start": start,
        "window_end": start + width,
        "value": rate.value,
        "low": rate.low,
        "high": rate.high,
        "detail": json.dumps(counts.detail()),
    }


def measure(engine: Engine, redis: Redis) -> dict[str, Any]:
    """Return the CPU seconds of this process: of three sets of all pages, and of each page alone; and the bytes."""

    class Timer:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    timer = Timer()
    dashboard = Dashboard(engine, redis, timer=timer)
    with read(engine) as connection:
        begun = time.process_time()
        copy_catalogue(connection, redis, None, now=NOW)
        copied = time.process_time() - begun
    sets = []
    for _ in range(3):
        begun = time.process_time()
        assert len(dashboard.show(now=NOW)) == len(PACE_SECONDS)
        sets.append(time.process_time() - begun)
        timer.now += max(PACE_SECONDS.values())
    by_page = {}
    for name in PACE_SECONDS:
        alone = Dashboard(engine, redis, timer=timer, pace_seconds={name: 1.0})
        alone.show(now=NOW)  # copies the catalogue, too
        timer.now += 1.0
        begun = time.process_time()
        alone.show(now=NOW)
        by_page[name] = round(time.process_time() - begun, 4)
    sizes = {name: int(redis.strlen(PREFIX + name)) for name in PACE_SECONDS}
    steady = sum(by_page[name] / PACE_SECONDS[name] for name in PACE_SECONDS)
    return {
        "catalogue_cpu_seconds": round(copied, 3),
        "set_cpu_seconds": [round(seconds, 3) for seconds in sets],
        "page_cpu_seconds": by_page,
        "share_of_one_core": round(steady, 5),
        "bytes": sizes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=int, default=1_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--database", help="URL of an empty database; without it SQLite in a temporary directory")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        url = given.database or f"sqlite:///{Path(directory) / 'graph.db'}"
        migrate(url)
        engine = open_engine(url)
        redis_url, child = start_redis(Path(directory) / "redis")
        redis = Redis.from_url(redis_url)
        try:
            with write(engine) as connection:
                figures = fill(connection, given.days, given.items, np.random.default_rng(1))
            hot.set_trending(redis, "24h", {f"i{n}": 1_000.0 - n for n in range(1, 201)})
            told = {"days": given.days, "items": given.items, "figures": figures, **measure(engine, redis)}
        finally:
            redis.close()
            child.stop()
            engine.dispose()
    text = json.dumps(told, indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
