"""A shop at an even rate: one event after another onto `interactions`, each with the moment at which it was sent.

Arrives: a rate and a time. Leaves: by user id the epoch seconds just before its event was handed to the producer, as
JSON. Next: `benchmarks.visible` takes the differences.

A process of its own (`python -m benchmarks.pacing`): kafka-python's threads would delay whoever watches. Every event
has a user of its own, so that what appears in Redis tells which event it was.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.meters import write_json
from benchmarks.workload import Workload
from stream import events
from stream.config import StreamConfig
from stream.kafka.producer import EventProducer


def send_evenly(config: StreamConfig, rate: float, count: int, prefix: str) -> dict[str, float]:
    """Send `count` events, `rate` a second; by user id, when (epoch seconds)."""
    made = [
        msgspec.structs.replace(event, user_id=f"{prefix}-{number:031d}")
        for number, event in enumerate(Workload(np.random.default_rng()).events(count))
    ]
    sent: dict[str, float] = {}
    with EventProducer(config) as producer:
        begun = time.monotonic()
        for number, event in enumerate(made):
            ahead = begun + number / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            now = time.time()
            sent[event.user_id] = now
            event = msgspec.structs.replace(event, event_time=events.utc(int(now * 1000)))
            producer.send(events.INTERACTIONS, event, key=event.user_id)
    return sent


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pacing", description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--count", type=int, required=True, help="events")
    parser.add_argument("--prefix", required=True, help="of the user ids")
    parser.add_argument("--output", type=Path, required=True, help="where the moments go, as JSON")
    given = parser.parse_args(arguments)
    write_json(given.output, send_evenly(StreamConfig(), given.rate, given.count, given.prefix))


if __name__ == "__main__":
    main(sys.argv[1:])
