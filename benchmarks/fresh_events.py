"""Fresh events: sends shoppers' events at a rate and records each send time.

Arrives: a rate, the number of events, and how many shoppers are known. Leaves: `[user, epoch seconds]` of each event
just before the producer got it, as JSON. Next: `benchmarks.fresh_watch` computes the delays.

Every second event is of a known shopper, in turn; the others are of shoppers whom nobody has seen. It runs in its own
process (`python -m benchmarks.fresh_events`), because kafka-python's threads would delay the process that watches.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.fresh_shop import known_user
from benchmarks.meters import write_json
from benchmarks.pacing import send_evenly
from benchmarks.workload import Workload
from stream.config import StreamConfig
from stream.events import Interaction

KNOWN_EVERY = 2
"""Every so-many-th event is of a known shopper."""


def made(count: int, *, known: int, items: int, prefix: str) -> list[Interaction]:
    """Return the events. New shoppers are `prefix` and a number."""
    rng = np.random.default_rng()
    first = int(rng.integers(known)) if known else 0
    return [
        msgspec.structs.replace(
            event,
            user_id=known_user((first + number // KNOWN_EVERY) % known)
            if known and number % KNOWN_EVERY == 0
            else f"{prefix}-{number:06d}",
            item_id=f"i{int(rng.integers(items))}",
            request_id=None,
            position=None,
        )
        for number, event in enumerate(Workload(rng).events(count))
    ]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fresh_events", description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--count", type=int, required=True, help="events")
    parser.add_argument("--known", type=int, required=True, help="known shoppers")
    parser.add_argument("--items", type=int, required=True, help="items of the shop")
    parser.add_argument("--prefix", required=True, help="of the ids of new shoppers")
    parser.add_argument("--linger-ms", type=int, required=True, help="how long the producer gathers a batch")
    parser.add_argument("--output", type=Path, required=True, help="where the send times go, as JSON")
    given = parser.parse_args(arguments)
    sent = made(given.count, known=given.known, items=given.items, prefix=given.prefix)
    write_json(given.output, send_evenly(StreamConfig(), sent, given.rate, linger_ms=given.linger_ms))


if __name__ == "__main__":
    main(sys.argv[1:])
