"""The loop in a simulated shop: what it has back after a change, what a quiet shop gains, what a bad champion costs.

Arrives: sizes and seeds. Leaves: a JSON file with the figures, and a plot. Next: `docs/benchmarks.md`.

Everything runs in this process, on SQLite and a Redis of its own, through the real ingest, training, gate, publication,
near-line and attribution (`sagestream.simulation`). Time is an argument, so days pass in seconds.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: put the repository root on the path instead of this directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from redis import Redis

from benchmarks.loop_plot import plot
from monitoring.config import MonitoringConfig
from sagestream.playground.embedded import own_redis
from sagestream.simulation.bad_champion import BAD_KINDS, BadKind, Damage, Hours, force_bad_champion
from sagestream.simulation.figures import Courses, curves, ratio, recovery
from sagestream.simulation.injections import INJECTIONS, Injection, InjectionName
from sagestream.simulation.latent_world import LatentSize
from sagestream.simulation.policies import POLICIES, PolicyName
from sagestream.simulation.run import open_shop, simulate
from sagestream.simulation.scenarios import Plan, made_up
from sagestream.simulation.shop import ShopConfig
from serving.config import ServingConfig
from training.config import TrainingConfig

QUIET, BAD_CHAMPION = "quiet", "bad_champion"
PARTS = (QUIET, *INJECTIONS, BAD_CHAMPION)
COMPARED: tuple[PolicyName, ...] = ("oracle", "popularity", "frozen", "loop")
"""The nightly retrain, which costs most, is compared on the quiet shop and after a taste shift."""
SHIFT: InjectionName = "taste_shift"


def simulate_seed(options: argparse.Namespace, part: str, seed: int, redis: Redis) -> Courses:
    """Let every policy keep the shop of one seed."""
    name: InjectionName | None = next((name for name in INJECTIONS if name == part), None)
    injection = Injection(name, options.injection_day) if name else None
    size = LatentSize(options.shoppers, options.items, options.days, visits_per_day=options.visits)
    training = TrainingConfig(retrain_min_events=options.retrain_events)
    config = ShopConfig(training, ServingConfig(), MonitoringConfig())
    scenario = made_up(size, Plan(options.days, seed, config, injection))
    policies = POLICIES if part in (QUIET, SHIFT) else COMPARED
    with tempfile.TemporaryDirectory() as kept:
        (Path(kept) / "opened").mkdir()
        opened = open_shop(scenario, Path(kept) / "opened", redis)
        courses: dict[PolicyName, Any] = {}
        for policy in policies:
            with timed(f"{part}, seed {seed}, {policy}"):
                courses[policy] = simulate(scenario, policy, opened, directory=Path(kept) / policy, redis=redis)
    return courses


def force_seed(options: argparse.Namespace, kind: BadKind, seed: int, redis: Redis) -> Damage:
    """Force a bad champion into the busy shop of one seed."""
    size = LatentSize(
        options.busy_shoppers, options.busy_items, days=1, history_days=4, visits_per_day=4.0, history_visits=0.05
    )
    # Short lists: those of all shoppers are written three times.
    serving = ServingConfig(list_length=30, similar_length=1)
    scenario = made_up(size, Plan(1, seed, ShopConfig(TrainingConfig(), serving, MonitoringConfig())))
    with tempfile.TemporaryDirectory() as kept, timed(f"{BAD_CHAMPION} {kind}, seed {seed}"):
        (Path(kept) / "opened").mkdir()
        opened = open_shop(scenario, Path(kept) / "opened", redis)
        return force_bad_champion(
            scenario,
            opened,
            kind,
            directory=Path(kept) / "shop",
            redis=redis,
            hours=Hours(bad=options.longest_hours),
        )


def quiet_figures(seeds: Sequence[Courses]) -> dict[str, Any]:
    """Return how the loop compares with the nightly retrain and with the bounds."""
    found = {name: ratio(seeds, "loop", name) for name in ("nightly", "frozen", "popularity", "oracle")}
    return {f"loop_to_{name}": round(estimate.mean, 4) for name, estimate in found.items()} | {
        "interval": found["nightly"].rounded()
    }


def injection_figures(seeds: Sequence[Courses], day: int) -> dict[str, Any]:
    """Return what is back after an injection."""
    found = recovery(seeds, day=day)
    return {
        "recovered": round(found.recovered.mean, 4),
        "interval": found.recovered.rounded(),
        "retrains": found.retrains,
        "after_each": [round(estimate.mean, 4) for estimate in found.after_each],
        "frozen": round(found.frozen.mean, 4),
        "frozen_interval": found.frozen.rounded(),
    }


def bad_champion_figures(by_kind: dict[BadKind, list[Damage]]) -> dict[str, Any]:
    """Return the damage of the inverted champion, the mean over seeds, and of each kind and seed."""
    inverted = by_kind["inverted"]
    return {
        "clicks_lost_share": round(sum(one.clicks_lost_share for one in inverted) / len(inverted), 5),
        "rolled_back": all(one.rolled_back for one in inverted),
        "kinds": {kind: [asdict(one) for one in found] for kind, found in by_kind.items()},
    }


def run_parts(options: argparse.Namespace, redis: Redis, found: dict[str, Any]) -> None:
    """Run the requested parts and put their figures into `found`. Each part is written at once: a run takes long."""
    for part in PARTS:
        if part not in options.only:
            continue
        run_part(options, redis, found, part)
        sizes = {name: value for name, value in vars(options).items() if name not in ("json", "plot", "only")}
        options.json.write_text(json.dumps({**found, "sizes": sizes}, indent=1) + "\n")


def run_part(options: argparse.Namespace, redis: Redis, found: dict[str, Any], part: str) -> None:
    """Run one part and put its figures into `found`."""
    seeds = range(options.seed, options.seed + options.seeds)
    if part == BAD_CHAMPION:
        by_kind = {kind: [force_seed(options, kind, seed, redis) for seed in seeds] for kind in BAD_KINDS}
        found[BAD_CHAMPION] = bad_champion_figures(by_kind)
        return
    courses = [simulate_seed(options, part, seed, redis) for seed in seeds]
    found["curves"][part] = curves(courses)
    if part == QUIET:
        found[QUIET] = quiet_figures(courses)
    else:
        found["injections"][part] = injection_figures(courses, options.injection_day)


def as_markdown(found: dict[str, Any]) -> str:
    """Return the figures as tables for a page."""
    lines = []
    if found["injections"]:
        lines += ["| injection | loop has back | after retrain 1, 2, 3 | frozen model |", "|---|---|---|---|"]
        for name, one in found["injections"].items():
            each = ", ".join(f"{value:.2f}" for value in one["after_each"])
            lines.append(f"| {name} | {one['recovered']:.2f} | {each} | {one['frozen']:.2f} |")
    if found[QUIET]:
        lines += ["", "| quiet shop: expected clicks of the loop to | |", "|---|---|"]
        lines += [
            f"| {name.removeprefix('loop_to_')} | {value:.3f} |"
            for name, value in found[QUIET].items()
            if name != "interval"
        ]
    if found[BAD_CHAMPION]:
        lines += ["", "| bad champion | lost of a day's clicks | rolled back | minutes |", "|---|---|---|---|"]
        for kind, seeds in found[BAD_CHAMPION]["kinds"].items():
            lines += [
                f"| {kind} | {one['clicks_lost_share']:.2%} | {one['rolled_back']} | {one['minutes']:g} |"
                for one in seeds
            ]
    return "\n".join(lines)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print one line with the processor time of this process."""
    begun = time.process_time()
    yield
    print(f"{what}: {time.process_time() - begun:.1f} CPU s", file=sys.stderr, flush=True)


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments. Exits with 2 when they are not valid."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="where the figures go")
    parser.add_argument("--plot", type=Path, metavar="PICTURE", help="where the curves go, .png or .svg")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    parser.add_argument("--days", type=int, default=12, help="days of each simulation")
    parser.add_argument("--injection-day", type=int, default=4, help="day on which the change comes, from 0")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of each part")
    parser.add_argument("--shoppers", type=int, default=300, help="shoppers of the small shop")
    parser.add_argument("--items", type=int, default=250, help="items of the small shop")
    parser.add_argument("--visits", type=float, default=1.5, help="visits a day of a shopper of the small shop")
    parser.add_argument("--retrain-events", type=int, default=1_500, help="new events after which the loop trains")
    parser.add_argument("--busy-shoppers", type=int, default=30_000, help="shoppers of the shop of the bad champion")
    parser.add_argument("--busy-items", type=int, default=200, help="items of that shop")
    parser.add_argument(
        "--longest-hours", type=float, default=Hours().bad, help="time after which a bad champion is given up"
    )
    found = parser.parse_args(given)
    sizes = (found.seeds, found.shoppers, found.items, found.busy_shoppers, found.busy_items, found.retrain_events)
    if min(*sizes, found.injection_day) < 1:
        parser.error("sizes, seeds, events and the day of the injection are at least 1")
    if found.days < found.injection_day + 2:
        parser.error("a simulation lasts at least two days longer than to its injection")
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Run the requested parts, write the figures, and print tables."""
    options = parse_arguments(given)
    found: dict[str, Any] = {"injections": {}, QUIET: None, BAD_CHAMPION: None, "curves": {}}
    with timed("all"), tempfile.TemporaryDirectory() as directory, own_redis(Path(directory) / "redis") as redis:
        run_parts(options, redis, found)
    if options.plot is not None:
        plot(found["curves"], options.plot, injection_day=options.injection_day)
    print(as_markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
