"""Ranker: how long one ranking takes over HTTP, by the real process on one core, with a synthetic model.

Arrives: a number of items. Leaves: milliseconds, 50 % and 99 %, over all requests and by kind of request, and the CPU
time of one. Next: `benchmarks.serving`, and the table in docs/benchmarks.md. `python -m benchmarks.ranker` prints it.

The model has every term of a shop with repeats: linear filters with sparse random weights, trend, personal repeat,
and GraphSAGE with 64 dimensions. The weights are random: only their number costs time. The shop has a catalogue
with categories, brands and prices in SQLite, and shoppers with histories. Nothing else runs, except what it does
beside ranking: it follows its models and reads its catalogue again and again.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from psutil import Process
from scipy import sparse
from sqlalchemy import Engine, insert

from benchmarks.meters import cpu_seconds
from benchmarks.services import environment, pid_of, ranks
from benchmarks.shop_log import PURCHASE, LogSize, synthetic_log
from graphstore import ingest
from graphstore.redis.connection import open_redis
from graphstore.session import migrate, now_ms, open_engine, write
from graphstore.tables import items, models
from sagestream.playground.embedded import free_port, free_ports, sagestream_command, start_redis
from sagestream.playground.processes import Child
from serving import cache
from serving.online.client import RankerClient
from serving.online.protocol import RankRequest, SessionEvent
from serving.rules.criteria import Criteria
from stream.config import PROBED_PROCESSES
from stream.events import EventType
from training.blend.blend import Blend, feature_names
from training.config import SageConfig
from training.data.event_log import EventLog
from training.models.bundle import save_bundle
from training.models.recommender import Recommender
from training.sage.model import GraphSAGE
from training.sage.term import SageTerm
from training.terms.filter_bank import FilterBank
from training.terms.linear_filter import FilterSettings, LinearFilter
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

ROOT = Path(__file__).resolve().parent.parent
VERSION = "synthetic"
SIZES = (5_000, 100_000)
SEED = 0
USERS = 500
EVENTS_AN_ITEM = 4
REQUESTS = 400
WARM_UP = 40
START_SECONDS = 300.0
ASK_MS = 10_000
ITEMS_A_CATEGORY, BRANDS = 50, 400

Maker = Callable[[np.random.Generator], RankRequest]


def measure(num_items: int, *, requests: int = REQUESTS) -> dict[str, float]:
    """Return `p50` and `p99` in milliseconds over the requests of all kinds."""
    taken = np.concatenate(list(measure_kinds(num_items, requests=requests).milliseconds.values()))
    return {"p50": _percentile(taken, 50), "p99": _percentile(taken, 99)}


@dataclass(frozen=True)
class Measured:
    """The milliseconds of each request by its kind, and the process's CPU milliseconds for one request.

    The clock shows what else the machine does; the CPU time does not. It includes the work beside ranking.
    """

    milliseconds: dict[str, np.ndarray]
    cpu_ms: float


def measure_kinds(num_items: int, *, requests: int = REQUESTS) -> Measured:
    """Measure one request after the other."""
    kinds, rng = makers(num_items), np.random.default_rng(SEED)
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    with running_ranker(num_items) as (url, pid):
        client = RankerClient(url, timeout_ms=ASK_MS)
        before = 0.0
        for index in range(WARM_UP + requests):
            if index == WARM_UP:
                before = cpu_seconds(pid)
            name = list(kinds)[index % len(kinds)]
            request = kinds[name](rng)
            began = time.perf_counter()
            answer = client.rank(request)
            if index >= WARM_UP:
                taken[name].append((time.perf_counter() - began) * 1000)
            if not answer.item_keys:
                raise RuntimeError(f"nothing was ranked for {name}")
        client.close()
        used = (cpu_seconds(pid) - before) * 1000 / requests
    return Measured({name: np.array(times) for name, times in taken.items()}, used)


def makers(num_items: int) -> dict[str, Maker]:
    """Return what a web process asks, by name."""

    categories = _categories(num_items)

    def session(rng: np.random.Generator, events: int) -> tuple[SessionEvent, ...]:
        return tuple(SessionEvent(item_id=f"i{item}") for item in rng.integers(0, num_items, events))

    def cart(rng: np.random.Generator) -> RankRequest:
        held = tuple(f"i{item}" for item in rng.integers(0, num_items, 4))
        inside = tuple(SessionEvent(item_id=item, event_type=EventType.CART) for item in held)
        return RankRequest(session=inside, without=held)

    def filtered(rng: np.random.Generator) -> RankRequest:
        wanted = Criteria(categories=(f"c{rng.integers(0, categories)}",), price_max=400.0)
        return RankRequest(user_id=_user(rng), criteria=(wanted,))

    def search(rng: np.random.Generator) -> RankRequest:
        found = tuple(f"i{item}" for item in rng.integers(0, num_items, 200))
        return RankRequest(user_id=_user(rng), candidates=found)

    return {
        "shopper": lambda rng: RankRequest(user_id=_user(rng)),
        "session": lambda rng: RankRequest(session=session(rng, 5)),
        "cart": cart,
        "filter": filtered,
        "search": search,
    }


def _categories(num_items: int) -> int:
    return max(num_items // ITEMS_A_CATEGORY, 1)


def _user(rng: np.random.Generator) -> str:
    return f"u{rng.integers(0, USERS)}"


@contextmanager
def running_ranker(num_items: int, *, processes: int = 1) -> Iterator[tuple[str, int]]:
    """Run the service with a shop of so many items. Gives the URL of its door, and the id of its first process.

    One process runs on one core. Several may use all cores.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sagestream-ranker-")))
        redis_url, redis = start_redis(directory / "redis")
        stack.callback(redis.stop)
        database_url = f"sqlite:///{directory / 'graph.db'}"
        migrate(database_url)
        engine = open_engine(database_url)
        stack.callback(engine.dispose)
        fill(engine, num_items, directory)
        client = open_redis(redis_url)
        client.set(cache.CHAMPION, VERSION)
        client.close()
        port = free_port()
        settings = {
            "state_dir": directory,
            "database_url": database_url,
            "redis_url": redis_url,
            "ranker_port": port,
            "ranker_processes": processes,
            "ranker_timeout_ms": ASK_MS,
            "probe_port": free_ports(len(PROBED_PROCESSES)),
        }
        child = Child("ranker", sagestream_command("ranker"), directory / "ranker.log", environment(settings))
        child.start()
        stack.callback(child.stop)
        if processes == 1 and sys.platform == "linux":
            Process(pid_of(child)).cpu_affinity([max(os.sched_getaffinity(0))])
        door = stack.enter_context(closing(RankerClient(f"http://127.0.0.1:{port}", timeout_ms=ASK_MS)))
        child.wait_ready(lambda: ranks(door), START_SECONDS)
        yield f"http://127.0.0.1:{port}", pid_of(child)


def fill(engine: Engine, num_items: int, directory: Path) -> None:
    """Store the catalogue and the shoppers' events, and register the model."""
    log = shop_log(num_items)
    rng = np.random.default_rng(SEED)
    rows = [
        {
            "item_key": item + 1,
            "item_id": f"i{item}",
            "title": f"Item number {item}",
            "categories": json.dumps([f"c{item % _categories(num_items)}", "all"]),
            "brand": f"b{rng.integers(0, BRANDS)}",
            "price": round(float(rng.gamma(2, 100)), 2),
            "attributes": json.dumps({"organic": bool(item % 3)}),
        }
        for item in range(num_items)
    ]
    chosen = log.users < USERS
    events = zip(log.users[chosen].tolist(), log.items[chosen].tolist(), log.times[chosen].tolist(), strict=True)
    bought = [
        ingest.InteractionRow(f"e{index}", PURCHASE, f"u{user}", f"i{item}", time_ms)
        for index, (user, item, time_ms) in enumerate(events)
    ]
    with write(engine) as connection:
        connection.execute(insert(items), rows)
        for start in range(0, len(bought), 5_000):
            ingest.ingest_interactions(connection, bought[start : start + 5_000], now=now_ms())
    bundle = save_bundle(
        synthetic_model(log), directory / "models", snapshot_id="s", parent=None, metrics={}, config={}
    )
    with write(engine) as connection:
        connection.execute(
            insert(models).values(
                model_version=VERSION, kind="graphsage", status="champion", snapshot_id="s", bundle=str(bundle),
                created_at=0,
            )
        )  # fmt: skip


def shop_log(num_items: int) -> EventLog:
    """Return the events, until now."""
    users = max(USERS, num_items // 10)
    edges = min(EVENTS_AN_ITEM * num_items, users * num_items // 20)
    log = synthetic_log(LogSize(edges=edges, users=users, items=num_items), seed=SEED)
    log.times[:] += now_ms() - int(log.times[-1])
    return log


def synthetic_model(log: EventLog) -> Recommender:
    """Return a model of the size that a shop with this catalogue has."""
    rng, settings = np.random.default_rng(SEED), FilterSettings()
    n = log.num_items
    width = min(settings.row_weights if n <= settings.max_items else settings.neighbours, n)
    weights = sparse.csr_array(
        (
            rng.normal(0, 0.01, n * width).astype(np.float32),
            rng.integers(0, n, n * width).astype(np.int32),
            np.arange(0, n * width + 1, width),
        ),
        shape=(n, n),
    )
    weights.sum_duplicates()
    torch.manual_seed(SEED)
    config = SageConfig()
    sage = SageTerm(GraphSAGE(n, 0, config), torch.randn(n, config.dim), config=config, seed=SEED)
    terms = [
        FilterBank([LinearFilter(weights, settings=settings)]),
        Trend.fit(log),
        PersonalRepeat.fit(log),
        sage,
    ]
    names = feature_names(terms, separate_known=True)
    same = (1.0,) * len(names)
    return Recommender(
        model_version=VERSION,
        kind="graphsage",
        as_of=int(log.times[-1]) + 1,
        repeats=True,
        item_ids=[f"i{item}" for item in range(n)],
        item_keys=np.arange(1, n + 1, dtype=np.int64),
        available=np.ones(n, dtype=np.bool_),
        terms=terms,
        blend=Blend(
            feature_names=names,
            scale=same,
            warm=tuple(rng.normal(0.3, 0.1, len(names)).tolist()),
            activity=(0.01,) * len(names),
            activity_mean=2.0,
            activity_sd=1.0,
            cold=None,
            unknown=tuple(1.0 if name.startswith("trend") else 0.0 for name in names),
        ),
    )


def _percentile(taken: np.ndarray, share: float) -> float:
    return round(float(np.percentile(taken, share)), 2)


def main() -> None:
    """Print a table of milliseconds, by number of items and kind of request; the last one is CPU time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranker", description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, nargs="+", default=SIZES)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    options = parser.parse_args()
    print("| items | request | p50 ms | p99 ms |\n|---|---|---|---|")
    for num_items in options.items:
        found = measure_kinds(num_items, requests=options.requests)
        kinds = found.milliseconds
        for name, taken in {**kinds, "all": np.concatenate(list(kinds.values()))}.items():
            print(f"| {num_items:,} | {name} | {_percentile(taken, 50)} | {_percentile(taken, 99)} |", flush=True)
        print(
            f"| {num_items:,} | CPU of one, with all that the process does beside | {found.cpu_ms:.2f} | |", flush=True
        )


if __name__ == "__main__":
    main()
