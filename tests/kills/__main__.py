"""`python -m tests.kills --kills N`: real processes killed under load, then every event looked for.

Leaves: a line for each campaign and, last, `kills N lost 0 doubled 0 wrong 0`; exit 1 where a figure is not 0.
"""

import argparse
import json
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from sagestream.playground.embedded import find_kafka
from tests.kills.campaign import WORKERS, Campaign, Outcome
from tests.kills.shop import Database

CAMPAIGN_KILLS = 25


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="processes to kill")
    parser.add_argument("--seed", type=int, default=None, help="what is killed when, as far as time allows")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and all else on standard error")
    arguments = parser.parse_args()
    if arguments.kills < 1:
        parser.error("at least one kill")
    told = sys.stderr if arguments.json else sys.stdout
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    home = find_kafka()
    broker = f"Apache Kafka at {home}" if home else "the embedded broker (set KAFKA_HOME for Apache Kafka)"
    print(f"{arguments.kills} kills on {broker}, seed {seed}", file=told, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started ends with us
    begun = time.monotonic()
    outcomes = campaigns(arguments.kills, seed, home, told)
    kills = sum(outcome.kills.total() for outcome in outcomes)
    figures = {
        kind: sum(len(getattr(outcome.differences, kind)) for outcome in outcomes)
        for kind in ("lost", "doubled", "wrong")
    }
    words = " ".join(f"{kind} {number}" for kind, number in figures.items())
    print(f"kills {kills} {words}", file=told, flush=True)
    if arguments.json:
        print(json.dumps(report(outcomes, seed, figures, time.monotonic() - begun)))
    return 1 if any(figures.values()) else 0


def campaigns(kills: int, seed: int, home: Path | None, told: object) -> list[Outcome]:
    """One after another, the databases in turn, until all kills are done."""
    rng = random.Random(seed)
    outcomes: list[Outcome] = []
    databases: tuple[Database, ...] = tuple(WORKERS)
    share = min(CAMPAIGN_KILLS, -(-kills // len(databases)))
    while (left := kills - sum(outcome.kills.total() for outcome in outcomes)) > 0:
        directory = Path(tempfile.mkdtemp(prefix="sagestream-kills-"))
        database = databases[len(outcomes) % len(databases)]
        outcome = Campaign(directory, database, home, rng.randrange(10**9), kills=min(share, left)).run()
        outcomes.append(outcome)
        print(f"campaign {len(outcomes)}, {outcome}", file=told, flush=True)  # type: ignore[call-overload]
        if outcome.differences:
            print(f"{outcome.differences.shown()}\n  kept: {directory}", file=told, flush=True)  # type: ignore[call-overload]
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return outcomes


def report(outcomes: list[Outcome], seed: int, figures: dict[str, int], seconds: float) -> dict[str, object]:
    """The same for a program."""
    return {
        "broker": outcomes[0].broker,
        "seed": seed,
        "kills": sum(outcome.kills.total() for outcome in outcomes),
        **figures,
        "messages": sum(outcome.events for outcome in outcomes),
        "seconds": round(seconds, 1),
        "campaigns": [
            {
                "database": outcome.database,
                "kills": dict(outcome.kills),
                "also": dict(outcome.also),
                "messages": outcome.events,
                "seconds": round(outcome.seconds, 1),
                "differences": vars(outcome.differences),
            }
            for outcome in outcomes
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
