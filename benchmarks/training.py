"""Training: the cost of training and how it grows with the data: `python benchmarks/training.py --json OUT`.

Arrives: sizes. Leaves: one JSON object with CPU seconds, clock seconds and peak memory of each part, the same as a
table on standard output, and progress on standard error. It needs no service.

`--only growth` measures an epoch of GraphSAGE on both of its paths, and the closed-form terms, from 100,000 to ten
million edges, with the slopes. Each measurement runs in its own process with one thread, so they do not affect each
other. Peak memory includes the interpreter and the libraries. The synthetic log counts for memory but not for seconds.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):  # run as a file: put the repository root on the path instead of this directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
import torch

from benchmarks.bounds import judged
from benchmarks.bounds import rows as bound_rows
from benchmarks.edges import closed_form_fit, measure_growth, sage_fit, seconds_since
from benchmarks.meters import own_mark
from benchmarks.program import log_line
from benchmarks.shop_log import LogSize, synthetic_log
from training.benchmark.isolated import run_isolated
from training.data.event_log import Histories
from training.models.topk import best_items
from training.process import FaultInProcess, SpawnedProcessFailed
from training.terms.linear_filter import FilterSettings, LinearFilter

if TYPE_CHECKING:
    from graphstore.progress import Progress

PARTS = ("sage", "closed_form", "retrieval", "large_catalogue", "growth")
"""In the order of their execution."""

DIM, TOP, SEEN = 64, 100, 30
SCORED = 16

BOUNDS = {
    "sage.cpu_seconds": (20.0, "at most"),
    "sage.peak_rss_mb": (1_500.0, "at most"),
    "closed_form.cpu_seconds": (15.0, "at most"),
    "retrieval.users_per_cpu_second": (2_000.0, "at least"),
    "large_catalogue.peak_rss_mb": (3_000.0, "at most"),
}


def retrieval_run(users: int, items: int, seed: int, progress: "Progress") -> dict[str, Any]:
    """Retrieve the best of all items for `users` users, with a bias and without the items they have seen."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    vectors, matrix = (torch.randn(rows, DIM, generator=generator) for rows in (users, items))
    bias = torch.randn(items, generator=generator)
    seen = {"seen_offsets": np.arange(users + 1) * SEEN, "seen_items": rng.integers(0, items, users * SEEN)}
    best_items(vectors[:1], matrix, k=TOP, bias=bias)  # compiles
    progress("compiled", 0.5)
    begun = own_mark(0)
    best_items(vectors, matrix, k=TOP, bias=bias, **seen)
    found = seconds_since(begun)
    return {"users_per_cpu_second": round(users / found["cpu_seconds"]), **found}


def large_catalogue_fit(shop: LogSize, seed: int, progress: "Progress") -> dict[str, Any]:
    """Fit the linear filter beyond its dense size, and score a few users with the newest events."""
    log = synthetic_log(shop, seed=seed)
    tiny = log.between(end=int(log.times[0]) + 1)
    LinearFilter.fit(tiny, FilterSettings(max_items=0))  # compiles
    progress("compiled", 0.2)
    begun = own_mark(0)
    term = LinearFilter.fit(log, FilterSettings(max_items=0))
    found = seconds_since(begun)
    progress("fitted", 0.9)
    histories: Histories = log.histories(np.unique(log.users[-SCORED:]))
    begun = own_mark(0)
    response = term.response(histories)
    scoring = seconds_since(begun)["cpu_seconds"] / len(histories)
    reached = float((response != 0).sum(dim=1).float().mean())
    weights = {"weights": term.num_weights, "items_scored": round(reached)}
    return {**weights, "score_cpu_ms": round(1_000 * scoring, 2), **found}


def run_parts(options: argparse.Namespace, found: dict[str, Any]) -> None:
    """Run the requested parts. Each writes its figures into `found` when it ends.

    Raises `SpawnedProcessFailed` and `FaultInProcess`.
    """

    def run(name: str, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        values, cost = run_isolated(
            function, *arguments, options.seed, progress=lambda line, share: log_line(f"{name} {share:.0%}: {line}")
        )
        log_line(f"{name}: {values['cpu_seconds']} CPU s, peak {cost.peak_rss_mb:.0f} MB")
        return {**values, "peak_rss_mb": round(cost.peak_rss_mb, 1)}

    shop = LogSize(options.edges, options.users, options.items)
    if "sage" in options.only:
        found["sage"] = run("sage", sage_fit, shop, None, None)
    if "closed_form" in options.only:
        found["closed_form"] = run(
            "closed_form", closed_form_fit, LogSize(options.edges // 2, options.users, options.items)
        )
    if "retrieval" in options.only:
        found["retrieval"] = run("retrieval", retrieval_run, options.retrieval_users, options.retrieval_items)
    if "large_catalogue" in options.only:
        large = LogSize(options.large_edges, options.large_edges // 10, options.large_items)
        found["large_catalogue"] = run("large_catalogue", large_catalogue_fit, large)
    if "growth" in options.only:
        found["growth"] = {}
        measure_growth(
            found["growth"],
            run,
            sizes=options.sizes,
            edges_a_user=max(options.edges // options.users, 1),
            items=options.items,
            steps=options.steps or None,
        )


def as_json(found: dict[str, Any], sizes: dict[str, Any]) -> dict[str, Any]:
    """Return the object that `--json` writes: every part, null for a part that did not run, and the bounds."""
    named = ((name, *name.split(".")) for name in BOUNDS)
    values = {name: found[part][key] for name, part, key in named if part in found}
    return {**{part: found.get(part) for part in PARTS}, "sizes": sizes, "bounds": judged(values, BOUNDS)}


def as_markdown(figures: dict[str, Any]) -> str:
    """Return the same for a README."""
    lines = ["| | CPU s | s by the clock | peak MB |", "|---|---|---|---|"]
    rows = {part: figures[part] for part in PARTS if figures[part] and part != "growth"}
    for name, one in rows.items():
        lines.append(f"| {name} | {one['cpu_seconds']:g} | {one['wall_seconds']:g} | {one['peak_rss_mb']:,.0f} |")
    lines += bound_rows(figures["bounds"])
    if figures["growth"]:
        lines += growth_table(figures["growth"])
    return "\n".join(lines)


def growth_table(growth: dict[str, Any]) -> list[str]:
    """Return one row for each fit and size. The last column includes the interpreter and the log."""
    lines = ["", "| fit | edges | steps | CPU ms a step | CPU s an epoch | peak MB |", "|---|---|---|---|---|---|"]
    for name, by_size in growth.items():
        for edges, one in by_size.items() if name != "slope" else ():
            steps, step = one.get("steps", ""), one.get("step_cpu_ms", "")
            seconds = one.get("epoch_cpu_seconds", one["cpu_seconds"])
            lines.append(f"| {name} | {int(edges):,} | {steps} | {step} | {seconds:g} | {one['peak_rss_mb']:,.0f} |")
    for name, slopes in growth["slope"].items():
        cells = ["" if value is None else f"{value:g}" for value in slopes.values()]
        lines.append(f"| {name} | slope | | | {cells[0]} | {cells[1]} |")
    return lines


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments. Exits with 2 when they are not valid."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="where the figures go")
    parser.add_argument("--edges", type=int, default=1_000_000, help="edges of the GraphSAGE epoch; closed form: half")
    parser.add_argument("--users", type=int, default=20_000, help="users of both")
    parser.add_argument("--items", type=int, default=5_000, help="items of both")
    parser.add_argument("--retrieval-users", type=int, default=4_096, help="users who are given lists")
    parser.add_argument("--retrieval-items", type=int, default=100_000, help="items that they are given them of")
    parser.add_argument("--large-items", type=int, default=1_000_000, help="items of the large catalogue")
    parser.add_argument("--large-edges", type=int, default=5_000_000, help="edges of it, ten a user")
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[100_000, 1_000_000, 10_000_000],
        help="edges at which growth is measured, comma separated",
    )
    parser.add_argument("--steps", type=int, default=50, help="steps that growth takes of an epoch; 0: all of them")
    parser.add_argument("--seed", type=int, default=0, help="of every log")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    found = parser.parse_args(given)
    sizes = (found.edges, found.users, found.items, found.retrieval_users, found.retrieval_items, found.large_items)
    if min(*sizes, found.large_edges // 10, *found.sizes) < 1 or found.steps < 0:
        parser.error("sizes are at least 1, steps at least 0")
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Run the requested parts. Return 0, or 1 after a failure or a stop. The figures so far are written."""
    options = parse_arguments(given)
    found: dict[str, Any] = {}
    failed = False
    try:
        run_parts(options, found)
    except (SpawnedProcessFailed, FaultInProcess) as error:
        log_line(f"failed: {error}")
        failed = True
    except KeyboardInterrupt:  # the largest sizes take long: keep the figures of the smaller ones
        log_line("stopped")
        failed = True
    sizes = {name: value for name, value in vars(options).items() if name not in ("json", "only")}
    figures = as_json(found, sizes)
    options.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(as_markdown(figures))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
