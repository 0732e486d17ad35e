"""Visible: the delay from the producer until an event is in `recent:{user}` for every reader.

Arrives: a broker and a running worker. Leaves: percentiles in milliseconds. Next: `benchmarks.table`.

Redis reports every written key (keyspace notifications), so no polling is needed. Both times come from this machine's
clock: just before the producer gets the event, and when the notification arrives.
"""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from os import environ

import numpy as np
from redis.client import PubSub

from benchmarks.drain import POLL_SECONDS, START_SECONDS, run_workers
from benchmarks.meters import Span, cpu_seconds
from benchmarks.services import BenchmarkServices, DatabaseKind, Stream, environment, pid_of
from graphstore.redis import hot
from graphstore.redis.connection import open_redis

DROPPED_SECONDS = 5.0
ARRIVE_SECONDS = 30.0
"""Maximum time for the last event. A later event is an error and not a slow event."""


@dataclass(frozen=True)
class Visible:
    """Delays in milliseconds, and the worker's span."""

    p50: float
    p99: float
    largest: float
    events: int
    worker: Span


def measure_visible(
    services: BenchmarkServices, stream: Stream, database: DatabaseKind, rate: float, seconds: float
) -> Visible:
    """Send `rate` events per second for `seconds` while a worker runs, and watch Redis. The first 5 s do not count."""
    url = services.database(database)
    services.empty_redis(url)
    with run_workers(services, stream, url, f"visible-{secrets.token_hex(4)}") as workers:
        (worker,) = workers
        deadline = time.monotonic() + START_SECONDS
        while not worker.ready:
            pid_of(worker.child)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the worker was not ready after {START_SECONDS:g} s")
            time.sleep(POLL_SECONDS)
        pid, count = pid_of(worker.child), int(rate * seconds)
        before, begun = cpu_seconds(pid), time.monotonic()
        sent, seen = _send_and_watch(services, stream, rate, count)
        span = Span(count, cpu_seconds(pid) - before, time.monotonic() - begun)
    first = min(sent.values())
    return summary(
        [(seen[user] - time_sent) * 1000 for user, time_sent in sent.items() if time_sent >= first + DROPPED_SECONDS],
        span,
    )


def summary(delays: Iterable[float], worker: Span) -> Visible:
    """Return percentiles of the delays (milliseconds)."""
    values = np.array(list(delays))
    p50, p99 = np.percentile(values, [50, 99])
    return Visible(round(float(p50), 1), round(float(p99), 1), round(float(values.max()), 1), len(values), worker)


def _send_and_watch(
    services: BenchmarkServices, stream: Stream, rate: float, count: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the send time and the arrival time of each event by user id (epoch seconds)."""
    prefix = secrets.token_hex(2)
    output = services.directory / f"pacing-{prefix}.json"
    command = [sys.executable, "-m", "benchmarks.pacing", "--rate", str(rate), "--count", str(count)]
    command += ["--prefix", prefix, "--output", str(output), "--linger-ms", str(stream.linger_ms)]
    with open_redis(services.redis_url) as redis:
        redis.config_set("notify-keyspace-events", "Kz")
        listener = redis.pubsub(ignore_subscribe_messages=True)
        listener.psubscribe(f"__keyspace@*__:{hot.recent_key(prefix)}-*")
        child = subprocess.Popen(command, env={**environ, **environment(stream.settings)})
        try:
            seen = _watch(listener, child, count)
            child.wait(ARRIVE_SECONDS)  # the last event may arrive before the child has written its times
        finally:
            child.kill()
            child.wait()
            listener.close()
    sent: dict[str, float] = json.loads(output.read_text())
    if missing := sent.keys() - seen.keys():
        raise RuntimeError(
            f"{len(missing)} of {len(sent)} events were not in Redis {ARRIVE_SECONDS:g} s after the last"
        )
    return sent, seen


def _watch(listener: PubSub, child: "subprocess.Popen[bytes]", count: int) -> dict[str, float]:
    seen: dict[str, float] = {}
    deadline = None
    while len(seen) < count:
        message = listener.get_message(timeout=0.5)
        if message is not None:
            user = message["channel"].decode().partition(f":{hot.recent_key('')}")[2]
            seen.setdefault(user, time.time())
        if deadline is None and child.poll() is not None:
            if child.returncode:
                raise RuntimeError(f"the producer ended with {child.returncode}, see above")
            deadline = time.monotonic() + ARRIVE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            break
    return seen
