"""Queues: how long events wait for a worker or near-line, simulated: bursts, one slow partition, a failed node.

Arrives: events a day, the service time of an event, servers and partitions. Leaves: waiting times (p50, p99, largest)
and how long a disturbance is felt, as a table or JSON. Next: docs/scale.md. Start it as `python -m benchmarks.queues`.

Each server takes the events of its partitions in their order, one after the other. Arrivals are random, with a rate
that may be higher for some seconds. Service times are exponential around their mean, longer by a factor in a slow
partition. A failed server's partitions wait until the others have them, and stay there. Near-line is better than this:
of several events of one waiting shopper it makes one list.

The times follow Lindley's recursion: an event is done at its service time after the later of its arrival and the end of
the event before it. In closed form: end(n) = S(n) + max over k ≤ n of (arrival(k) − S(k − 1)), S the sum of services.

Source: Lindley, 1952 (the queue with one server).
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from graphstore.arrays import Float64Array, IntArray

DAY_SECONDS = 86_400
PEAK = 5.0
"""The busiest minutes of a day, as a multiple of the mean rate."""

SERVICE_SECONDS = {"worker": 14e-6 + 38e-6, "near-line": 650e-6}
"""Measured (docs/benchmarks.md): CPU of an event, the worker's own and that of PostgreSQL; CPU of a near-line list."""

FULL = 0.5
"""Servers are so many that the peak takes this share of their time. At 0.7 a slow partition overloads its server."""


@dataclass(frozen=True)
class Queue:
    """Servers under load for `seconds`."""

    rate: float
    """Events a second, over all partitions."""
    service_seconds: float
    servers: int
    partitions: int
    seconds: float = 120.0
    burst: float = 1.0
    """The factor of the rate between `disturbed_at` and `disturbed_at` + `burst_seconds`."""
    burst_seconds: float = 10.0
    slow: float = 1.0
    """The factor of the service time in the first partition."""
    taken_over_after_seconds: float | None = None
    """The first server fails at `disturbed_at`, and the others have its partitions so many seconds later."""
    disturbed_at: float = 30.0


@dataclass(frozen=True)
class Waiting:
    """Seconds from the arrival of an event to the end of its service."""

    p50: float
    p99: float
    largest: float
    felt_seconds: float
    """From the disturbance until the waiting is again as it was before: below ten times the p99 before it."""

    def as_json(self) -> dict[str, float]:
        """Return plain values."""
        return {name: round(value, 4) for name, value in vars(self).items()}

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table: two in milliseconds, two in seconds."""
        return (
            f"{1e3 * self.p50:,.2f}",
            f"{1e3 * self.p99:,.1f}",
            f"{self.largest:,.2f}",
            f"{self.felt_seconds:,.1f}",
        )


def simulate(queue: Queue, rng: np.random.Generator) -> Waiting:
    """Return the waiting times of all events. The load may be more than the servers bear: then they grow to the end."""
    arrivals, partitions = _arrivals(queue, rng)
    services = rng.exponential(queue.service_seconds, len(arrivals))
    services[partitions == 0] *= queue.slow
    servers = partitions % queue.servers
    offered = arrivals.copy()
    if queue.taken_over_after_seconds is not None:
        lost = (servers == 0) & (arrivals >= queue.disturbed_at)
        servers[lost] = 1 + partitions[lost] // queue.servers % (queue.servers - 1)
        offered[lost] = np.maximum(arrivals[lost], queue.disturbed_at + queue.taken_over_after_seconds)
    waits = np.empty(len(arrivals))
    for server in range(queue.servers):
        mine = np.flatnonzero(servers == server)
        mine = mine[np.argsort(offered[mine], kind="stable")]
        waits[mine] = ends(offered[mine], services[mine]) - arrivals[mine]
    before = arrivals < queue.disturbed_at
    usual = 10 * np.quantile(waits[before], 0.99)
    late = arrivals[(waits > usual) & ~before]
    return Waiting(
        p50=float(np.quantile(waits, 0.5)),
        p99=float(np.quantile(waits, 0.99)),
        largest=float(waits.max()),
        felt_seconds=float(late.max() + waits[arrivals == late.max()].max() - queue.disturbed_at) if len(late) else 0.0,
    )


def ends(arrivals: Float64Array, services: Float64Array) -> Float64Array:
    """Return when each event is done [n], of events in the order of their arrival at one server."""
    total = np.cumsum(services)
    return total + np.maximum.accumulate(arrivals - (total - services))


def _arrivals(queue: Queue, rng: np.random.Generator) -> tuple[Float64Array, IntArray]:
    """Return the times of a Poisson process [n], ascending, thinned outside a burst, and their partitions [n]."""
    most = queue.rate * max(queue.burst, 1.0)
    times = np.sort(rng.random(rng.poisson(most * queue.seconds))) * queue.seconds
    inside = (times >= queue.disturbed_at) & (times < queue.disturbed_at + queue.burst_seconds)
    kept = rng.random(len(times)) < np.where(inside, queue.rate * queue.burst, queue.rate) / most
    times = times[kept]
    return times, rng.integers(0, queue.partitions, len(times))


def servers_for(rate: float, service_seconds: float) -> int:
    """Return how many servers bear this rate (events a second) with some room."""
    return max(2, int(np.ceil(rate * service_seconds / FULL)))


def troubles(quiet: Queue) -> dict[str, Queue]:
    """Return the queue as it is, and with each trouble."""
    return {
        "quiet": quiet,
        "a burst of 4 times for 10 s": replace(quiet, burst=4.0),
        "one slow partition (5 times)": replace(quiet, slow=5.0),
        "a failed node, taken over after 10 s": replace(quiet, taken_over_after_seconds=10.0),
    }


def main(given: Sequence[str] | None = None) -> None:
    """Simulate shops of several sizes at the peak of their day, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--million-events-a-day", type=float, nargs="+", default=[1.0, 10.0, 100.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(given)
    found: dict[str, dict[str, float]] = {}
    print(
        "| millions a day | service | servers | | p50 ms | p99 ms | largest s | felt s |",
        "|---|" + "---|" * 7,
        sep="\n",
    )
    for millions in options.million_events_a_day:
        rate = PEAK * millions * 1e6 / DAY_SECONDS
        for service, seconds in SERVICE_SECONDS.items():
            servers = servers_for(rate, seconds)
            for name, queue in troubles(Queue(rate, seconds, servers, partitions=4 * servers)).items():
                waiting = simulate(queue, np.random.default_rng(options.seed))
                found[f"{millions:g} {service} {name}"] = waiting.as_json() | {"servers": servers}
                cells = (f"{millions:g}", service, str(servers), name, *waiting.cells())
                print(f"| {' | '.join(cells)} |")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
