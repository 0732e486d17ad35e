"""Pacing: sends events to `interactions` at a constant rate and records each send time.

Arrives: a rate and a number of events. Leaves: epoch seconds just before the producer got the event, by user id, as
JSON. Next: `benchmarks.visible` computes the differences.

It runs in its own process (`python -m benchmarks.pacing`), because kafka-python's threads would delay the process that
watches Redis. Every event has its own user, so a key in Redis identifies its event.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.meters import write_json
from benchmarks.workload import Workload
from stream import events
from stream.config import StreamConfig
from stream.events import Interaction
from stream.kafka.producer import EventProducer

Sent = tuple[str, float]
"""A user, and the epoch seconds just before the producer got the user's event."""


def send_evenly(config: StreamConfig, made: Iterable[Interaction], rate: float, *, linger_ms: int) -> list[Sent]:
    """Send the events at `rate` a second, each at its send time. Return user and send time (epoch seconds) of each."""
    sent: list[Sent] = []
    with EventProducer(config, linger_ms=linger_ms) as producer:
        producer.flush()
        begun = time.monotonic()
        for number, event in enumerate(made):
            ahead = begun + number / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            now = time.time()
            sent.append((event.user_id, now))
            event = msgspec.structs.replace(event, event_time=events.utc(int(now * 1000)))
            producer.send(events.INTERACTIONS, event, key=event.user_id)
    return sent


def of_new_users(count: int, prefix: str) -> list[Interaction]:
    """Return events, each of a user of its own."""
    return [
        msgspec.structs.replace(event, user_id=f"{prefix}-{number:031d}")
        for number, event in enumerate(Workload(np.random.default_rng()).events(count))
    ]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pacing", description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--count", type=int, required=True, help="events")
    parser.add_argument("--prefix", required=True, help="of the user ids")
    parser.add_argument("--linger-ms", type=int, required=True, help="how long the producer gathers a batch")
    parser.add_argument("--output", type=Path, required=True, help="where the send times go, as JSON")
    given = parser.parse_args(arguments)
    made = of_new_users(given.count, given.prefix)
    write_json(given.output, dict(send_evenly(StreamConfig(), made, given.rate, linger_ms=given.linger_ms)))


if __name__ == "__main__":
    main(sys.argv[1:])
