"""Backlog: produces events on `interactions` before any consumer runs, and measures the producer's cost.

Arrives: a workload. Leaves: acknowledged messages, and the producer's span. Next: `benchmarks.drain`.
"""

from collections.abc import Callable
from itertools import islice

from benchmarks.meters import Mark, Span, own_mark
from benchmarks.workload import Workload
from stream import events
from stream.config import StreamConfig
from stream.kafka.producer import EventProducer

CHUNK = 20_000


def produce(
    config: StreamConfig, workload: Workload, count: int, *, linger_ms: int, log_line: Callable[[str], None]
) -> Span:
    """Produce `count` acknowledged events and return the producer's span, without the time to generate events."""
    cpu = wall = 0.0
    done = 0
    source = workload.events(count)
    with EventProducer(config, linger_ms=linger_ms) as producer:
        while chunk := list(islice(source, CHUNK)):
            begun = own_mark(done)
            for event in chunk:
                producer.send(events.INTERACTIONS, event, key=event.user_id)
            producer.flush()
            done += len(chunk)
            part = Span.between(begun, own_mark(done))
            cpu += part.cpu_seconds
            wall += part.wall_seconds
            if done % (5 * CHUNK) == 0:
                log_line(f"produced {done:,} of {count:,}")
    return Span.between(Mark(0, 0.0, 0.0), Mark(done, cpu, wall))
