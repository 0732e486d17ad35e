"""Fresh shop: a shop with a model that serves, and the processes that turn an event into a list.

Arrives: services and a broker. Leaves: a running worker, near-line and ranker. Next: `benchmarks.freshness` sends
events and watches Redis.

The model is that of `benchmarks.ranker`: every term of a shop with repeats, GraphSAGE with 64 dimensions among them.
Known shoppers have a history in SQL; the model need not have seen them, because it scores histories.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.services import BenchmarkServices, DatabaseKind, Stream, environment, is_ready
from graphstore import ingest
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms, open_engine, write
from sagestream.playground.embedded import free_port, free_ports, sagestream_command
from sagestream.playground.processes import Child
from serving import cache
from stream.config import PROBED_PROCESSES

PROCESSES = ("worker", "nearline", "ranker")
HISTORY_EVENTS = 12
DAY_MS = 86_400_000
CHUNK = 5_000
START_SECONDS = 120.0
VIEW = 0
SEED = 7


@dataclass(frozen=True)
class FreshShop:
    """A running shop."""

    version: str
    """Of its model."""
    ranker_url: str


def known_user(number: int) -> str:
    """Return the id of a shopper with a history."""
    return f"known-{number:06d}"


@contextmanager
def running_shop(
    services: BenchmarkServices, stream: Stream, database: DatabaseKind, *, items: int, known: int
) -> Iterator[FreshShop]:
    """Fill a new database and run the processes until the end of the block. Items are `i0`, `i1` and so on."""
    from benchmarks import ranker  # late: it loads torch

    url = services.database(database)
    engine = open_engine(url)
    ranker.fill(engine, items, services.directory)
    rng = np.random.default_rng(SEED)
    now = now_ms()
    with write(engine) as connection:
        for start in range(0, known * HISTORY_EVENTS, CHUNK):
            rows = [
                ingest.InteractionRow(
                    f"h{number}",
                    VIEW,
                    known_user(number // HISTORY_EVENTS),
                    f"i{int(rng.integers(items))}",
                    now - int(rng.integers(1, 30 * DAY_MS)),
                )
                for number in range(start, min(start + CHUNK, known * HISTORY_EVENTS))
            ]
            ingest.ingest_interactions(connection, rows, now=now)
    engine.dispose()
    services.empty_redis(url)
    with open_redis(services.redis_url) as redis:
        redis.set(cache.CHAMPION, ranker.VERSION)
    door, probes = free_port(), free_ports(len(PROBED_PROCESSES))
    settings = {
        **stream.settings,
        "database_url": url,
        "redis_url": services.redis_url,
        "state_dir": services.directory / "state",
        "ranker_port": door,
        "probe_port": probes,
    }
    with ExitStack() as stack:
        children = {}
        for name in PROCESSES:
            log = services.directory / f"{name}.log"
            children[name] = Child(name, sagestream_command(name), log, environment(settings))
            children[name].start()
            stack.callback(children[name].stop)
        for name, child in children.items():
            child.wait_ready(partial(is_ready, probes + PROBED_PROCESSES.index(name)), START_SECONDS)
        yield FreshShop(ranker.VERSION, f"http://127.0.0.1:{door}")
