"""Gate: how often the gate errs, with users as real windows have them: `python benchmarks/gate.py --json OUT`.

Arrives: numbers of users. Leaves: one JSON object, the same as a table on standard output, and progress on standard
error. It needs no service.

- `structural`: a change of settings with a known true effect, tried in up to a hundred windows. How often it is
  promoted in the first window, in five and in a hundred.
- `refresh`: a hundred updates whose true changes vary. The NDCG that is lost against an oracle gate, with this gate,
  with the gate before (a paired bootstrap) and without a gate. And what a lineage has lost that loses 2 % a step, when
  it is stopped.
- `broken`: how many broken challengers were tried and promoted.

Figures are means over the shops of `gate_differences.json`; `shops` has each of them.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: put the repository root on the path instead of this directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

from benchmarks.gate_draws import Refreshes, Shop, structural
from benchmarks.gate_faults import BrokenChallengers
from benchmarks.gate_plot import save_plot

USERS = (30, 300, 3_000)
EFFECTS = (-0.04, -0.02, -0.01, 0.0, 0.01, 0.02, 0.04)


def measure_shop(shop: Shop, users: int, *, runs: int, seed: int) -> dict[str, Any]:
    """Return the figures of structural changes and refreshes in one shop."""
    refreshes = Refreshes(shop, users)
    return {
        "structural": {
            effect_name(effect): structural(shop, effect, users=users, runs=runs, seed=seed) for effect in EFFECTS
        },
        "refresh": {
            "regret": refreshes.regret(runs=max(runs // 4, 1), seed=seed),
            "lost_before_stop": refreshes.lost_before_stop(runs=runs, seed=seed),
        },
    }


def effect_name(effect: float) -> str:
    return f"{effect:.2f}" if effect else "0.00"


def measure_broken(users: Sequence[int], *, seed: int) -> dict[str, Any]:
    """Try all broken challengers, and a sound one."""
    shop, tried, promoted = BrokenChallengers(seed=seed), 0, Counter[str]()
    for number in users:
        for name, change, passed in shop.tried(number):
            tried += 1
            promoted[f"{name}, {change}, {number} users"] += passed
    found = {name: times for name, times in promoted.items() if times}
    return {
        "tried": tried,
        "promoted": sum(found.values()),
        "which": found,
        "sound_promoted": [shop.sound(number) for number in users],
    }


def mean_of(shops: Sequence[Any]) -> Any:
    """Return the mean of equal objects of numbers."""
    if isinstance(shops[0], dict):
        return {name: mean_of([shop[name] for shop in shops]) for name in shops[0]}
    return round(float(np.mean(shops)), 5)


def as_markdown(found: dict[str, Any]) -> str:
    """Return two tables."""
    lines = ["| true effect | users | first window | in five | in a hundred |", "|---|---|---|---|---|"]
    for users, effects in found["structural"].items():
        for effect, shares in effects.items():
            cells = [f"{100 * shares[name]:.1f} %" for name in ("per_try", "within_5_windows", "any_of_100")]
            lines.append(f"| {100 * float(effect):+.0f} % | {users} | {' | '.join(cells)} |")
    lines += ["", "| users | lost: ours | before | always | lost before the stop |", "|---|---|---|---|---|"]
    for users, row in found["refresh"].items():
        regret = " | ".join(f"{100 * row['regret'][name]:.2f} %" for name in ("ours", "before", "always"))
        lines.append(f"| {users} | {regret} | {100 * row['lost_before_stop']:.1f} % |")
    broken = found["broken"]
    return "\n".join([*lines, "", f"Broken challengers: {broken['promoted']} of {broken['tried']} promoted."])


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="file for the figures")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of the figures, PNG or SVG")
    parser.add_argument("--users", type=int, nargs="+", default=USERS, help="shoppers in a window")
    parser.add_argument("--runs", type=int, default=100, help="repetitions for each shop")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(given)
    if options.runs < 1 or min(options.users) < 1:
        parser.error("runs and users are at least 1")
    return options


def main(given: Sequence[str] | None = None) -> int:
    """Measure, write the figures and print them."""
    options = parse_arguments(given)
    shops: dict[str, dict[str, Any]] = {}
    for users in options.users:
        for name, shop in Shop.all().items():
            print(f"{users} users, {name}", file=sys.stderr, flush=True)
            shops.setdefault(name, {})[str(users)] = measure_shop(shop, users, runs=options.runs, seed=options.seed)
    print("broken challengers", file=sys.stderr, flush=True)
    every = mean_of(list(shops.values()))
    found = {
        "structural": {users: figures["structural"] for users, figures in every.items()},
        "refresh": {users: figures["refresh"] for users, figures in every.items()},
        "broken": measure_broken(options.users, seed=options.seed),
        "shops": shops,
    }
    options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.plot is not None:
        save_plot(found, options.plot)
    print(as_markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
