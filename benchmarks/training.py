"""What training costs, and how it grows: `python benchmarks/training.py --json OUT`.

Arrives: sizes. Leaves: one JSON object with the CPU seconds, the clock's seconds and the peak memory of each part, the
same as a table on standard output, and what is going on on standard error. Nothing is needed but this machine.

Each measurement has a process of its own with one thread, so that none pays for another, and its peak memory is that of
the interpreter and the libraries, too. Making the synthetic log is in the memory and not in the seconds.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):  # run as a file: our packages are beside this directory, and nothing of it on the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
import torch

from benchmarks.meters import Mark, Span, own_mark
from graphstore.tables import HOUR_MS
from training.config import SageConfig
from training.filter_bank import FilterBank
from training.histories import EventLog, Histories
from training.isolation import ProcessFailed, isolated
from training.linear_filter import FilterSettings, LinearFilter
from training.repeat import PersonalRepeat
from training.retrieval import best_items
from training.train import fit_sage
from training.trend import Trend

if TYPE_CHECKING:
    from training.train import Progress

PARTS = ("sage", "closed_form", "retrieval", "large_catalogue", "growth")
"""In the order in which they run."""

SPAN_MS = 365 * 24 * HOUR_MS
ITEMS_A_TASTE = 500
OWN_TASTE_SHARE = 0.8
FEATURES = 64
PURCHASE, PURCHASE_WEIGHT = 3, 4.0
DRIFT_SHARE = 4
DIM, TOP, SEEN = 64, 100, 30
SCORED = 16

BOUNDS = {
    "sage.cpu_seconds": (20.0, "at most"),
    "sage.peak_rss_mb": (1_500.0, "at most"),
    "closed_form.cpu_seconds": (15.0, "at most"),
    "retrieval.users_per_cpu_second": (2_000.0, "at least"),
    "large_catalogue.peak_rss_mb": (3_000.0, "at most"),
}


@dataclass(frozen=True)
class Shop:
    """The size of a synthetic log."""

    edges: int
    users: int
    items: int


def synthetic_log(shop: Shop, *, seed: int) -> EventLog:
    """So many purchases of distinct (user, item) pairs in a year. Popularity falls as one over the rank, and so does
    activity, more flatly; four of five events are of the shopper's own taste, 500 items. Equal seeds, equal logs.

    Raises `ValueError` where the pairs would be more than a tenth of all: there is no such shop.
    """
    if shop.edges > shop.users * shop.items / 10:
        raise ValueError(f"{shop.edges} edges are too many for {shop.users} users and {shop.items} items")
    rng = np.random.default_rng(seed)
    tastes = max(shop.items // ITEMS_A_TASTE, 1)
    activity = np.cumsum((np.arange(shop.users) + 0.05 * shop.users) ** -1.0)
    popularity = np.cumsum((np.arange(shop.items) + 10.0) ** -1.0)
    within = popularity[: max(shop.items // tastes, 1)]
    shuffled = rng.permutation(shop.items)  # rows say nothing of the popularity
    cells = np.empty(0, dtype=np.int64)
    while len(cells) < shop.edges:
        drawn = shop.edges - len(cells) + shop.edges // 10 + 16
        users = np.searchsorted(activity, rng.random(drawn) * activity[-1])
        items = np.searchsorted(popularity, rng.random(drawn) * popularity[-1])
        own = rng.random(drawn) < OWN_TASTE_SHARE
        ranks = np.searchsorted(within, rng.random(drawn) * within[-1])
        items[own] = (ranks * tastes + users % tastes)[own]
        cells = np.concatenate([cells, users * shop.items + shuffled[items]])
        cells = cells[np.sort(np.unique(cells, return_index=True)[1])]  # the first of each pair, in their order
    cells = cells[: shop.edges]
    return EventLog(
        users=cells // shop.items,
        items=cells % shop.items,
        times=np.sort(rng.integers(0, SPAN_MS, shop.edges)),
        types=np.full(shop.edges, PURCHASE, dtype=np.int8),
        weights=np.full(shop.edges, PURCHASE_WEIGHT, dtype=np.float32),
        num_users=shop.users,
        num_items=shop.items,
    )


def sage_fit(shop: Shop, steps: int | None, seed: int, progress: "Progress") -> dict[str, Any]:
    """A GraphSAGE fit of so many steps, None: as many as an epoch has; its graph and its last embeddings included."""
    log = synthetic_log(shop, seed=seed)
    config = SageConfig()
    epoch = math.ceil(len(log) / config.batch_size)
    config = config.model_copy(update={"max_steps": steps or epoch})
    features = torch.randn(shop.items, FEATURES, generator=torch.Generator().manual_seed(seed))
    begun = own_mark(0)
    term = fit_sage(log, features, config=config, seed=seed, progress=progress)
    return {"steps": term.steps, "steps_an_epoch": epoch, **_seconds(begun)}


def closed_form_fit(shop: Shop, seed: int, progress: "Progress") -> dict[str, Any]:
    """The terms that need no descent: a bank of a filter and one that forgets, the trend, the personal repeat."""
    log = synthetic_log(shop, seed=seed)
    forgets = FilterSettings(gram_half_life_ms=log.span_hours * HOUR_MS / DRIFT_SHARE)
    fits: dict[str, Callable[[], Any]] = {
        "filters": lambda: FilterBank([LinearFilter.fit(log), LinearFilter.fit(log, forgets)]),
        "trend": lambda: Trend.fit(log),
        "repeat": lambda: PersonalRepeat.fit(log),
    }
    found: dict[str, Any] = {}
    first = own_mark(0)
    for place, (name, fit) in enumerate(fits.items()):
        progress(name, place / len(fits))
        begun = own_mark(0)
        fit()
        found[f"{name}_cpu_seconds"] = _seconds(begun)["cpu_seconds"]
    return {**found, **_seconds(first)}


def retrieval_run(users: int, items: int, seed: int, progress: "Progress") -> dict[str, Any]:
    """The best of all items for so many users, with a bias and without what each has seen."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    vectors, matrix = (torch.randn(rows, DIM, generator=generator) for rows in (users, items))
    bias = torch.randn(items, generator=generator)
    seen = {"seen_offsets": np.arange(users + 1) * SEEN, "seen_items": rng.integers(0, items, users * SEEN)}
    best_items(vectors[:1], matrix, k=TOP, bias=bias)  # compiles
    progress("compiled", 0.5)
    begun = own_mark(0)
    best_items(vectors, matrix, k=TOP, bias=bias, **seen)
    found = _seconds(begun)
    return {"users_per_cpu_second": round(users / found["cpu_seconds"]), **found}


def large_catalogue_fit(shop: Shop, seed: int, progress: "Progress") -> dict[str, Any]:
    """The linear filter beyond its dense size, and the scores of a few shoppers with the newest events."""
    log = synthetic_log(shop, seed=seed)
    tiny = log.between(end=int(log.times[0]) + 1)
    LinearFilter.fit(tiny, FilterSettings(max_items=0))  # compiles
    progress("compiled", 0.2)
    begun = own_mark(0)
    term = LinearFilter.fit(log, FilterSettings(max_items=0))
    found = _seconds(begun)
    progress("fitted", 0.9)
    histories: Histories = log.histories(np.unique(log.users[-SCORED:]))
    begun = own_mark(0)
    response = term.response(histories)
    scoring = _seconds(begun)["cpu_seconds"] / len(histories)
    reached = float((response != 0).sum(dim=1).float().mean())
    weights = {"weights": term.num_weights, "items_scored": round(reached)}
    return {**weights, "score_cpu_ms": round(1_000 * scoring, 2), **found}


def _seconds(begun: Mark) -> dict[str, float]:
    span = Span.between(begun, own_mark(0))
    return {"cpu_seconds": round(span.cpu_seconds, 3), "wall_seconds": round(span.wall_seconds, 3)}


def slope(sizes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """Of log seconds over log sizes by least squares: 1 is in proportion; None for fewer than two sizes."""
    if len(set(sizes)) < 2:
        return None
    return round(float(np.polyfit(np.log(sizes), np.log(np.maximum(seconds, 1e-3)), 1)[0]), 2)


def measured(asked: argparse.Namespace, found: dict[str, Any]) -> None:
    """Run what was asked for; figures stand in `found` as soon as they are known. Raises `ProcessFailed`."""

    def run(name: str, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        values, cost = isolated(
            function, *arguments, asked.seed, progress=lambda line, share: tell(f"{name} {share:.0%}: {line}")
        )
        tell(f"{name}: {values['cpu_seconds']} CPU s, peak {cost.peak_rss_mb:.0f} MB")
        return {**values, "peak_rss_mb": round(cost.peak_rss_mb, 1)}

    shop = Shop(asked.edges, asked.users, asked.items)
    if "sage" in asked.only:
        found["sage"] = run("sage", sage_fit, shop, None)
    if "closed_form" in asked.only:
        found["closed_form"] = run("closed_form", closed_form_fit, Shop(asked.edges // 2, asked.users, asked.items))
    if "retrieval" in asked.only:
        found["retrieval"] = run("retrieval", retrieval_run, asked.retrieval_users, asked.retrieval_items)
    if "large_catalogue" in asked.only:
        large = Shop(asked.large_edges, asked.large_edges // 10, asked.large_items)
        found["large_catalogue"] = run("large_catalogue", large_catalogue_fit, large)
    if "growth" in asked.only and asked.sizes:
        edges_a_user = max(asked.edges // asked.users, 1)
        growth: dict[str, dict[str, Any]] = {"sage": {}, "closed_form": {}, "slope": {}}
        found["growth"] = growth
        for edges in asked.sizes:
            grown = Shop(edges, max(edges // edges_a_user, 1), asked.items)
            growth["sage"][str(edges)] = run(f"sage, {edges:,} edges", sage_fit, grown, asked.steps)
            growth["closed_form"][str(edges)] = run(f"closed_form, {edges:,} edges", closed_form_fit, grown)
        for name in ("sage", "closed_form"):
            growth["slope"][name] = slope(asked.sizes, [one["cpu_seconds"] for one in growth[name].values()])


def as_json(found: dict[str, Any], sizes: dict[str, Any]) -> dict[str, Any]:
    """The object that `--json` writes: every part, null where it was not run, and the bounds."""
    bounds: dict[str, Any] = {}
    for name, (bound, word) in BOUNDS.items():
        part, _, key = name.partition(".")
        value = found[part][key] if part in found else None
        met = None if value is None else (value <= bound if word == "at most" else value >= bound)
        bounds[name] = {"value": value, "bound": f"{word} {bound:g}", "met": met}
    return {**{part: found.get(part) for part in PARTS}, "sizes": sizes, "bounds": bounds}


def as_markdown(figures: dict[str, Any]) -> str:
    """The same for a README."""
    lines = ["| | CPU s | s by the clock | peak MB |", "|---|---|---|---|"]
    rows = {part: figures[part] for part in PARTS if figures[part] and part != "growth"}
    for name in ("sage", "closed_form"):
        for edges, one in (figures["growth"] or {name: {}})[name].items():
            rows[f"{name}, {int(edges):,} edges"] = one
    for name, one in rows.items():
        lines.append(f"| {name} | {one['cpu_seconds']:g} | {one['wall_seconds']:g} | {one['peak_rss_mb']:,.0f} |")
    lines += ["", "| | measured | bound | |", "|---|---|---|---|"]
    for name, held in figures["bounds"].items():
        value = "not run" if held["value"] is None else f"{held['value']:,g}"
        lines.append(
            f"| {name} | {value} | {held['bound']} | { {True: 'met', False: 'missed', None: ''}[held['met']] } |"
        )
    for name, value in (figures["growth"] or {"slope": {}})["slope"].items():
        lines.append(f"| slope of log seconds over log edges, {name} | {value} | | |")
    return "\n".join(lines)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for; exits with 2 where it makes no sense."""
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
        "--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[], help="edges, comma separated"
    )
    parser.add_argument("--steps", type=int, default=50, help="GraphSAGE steps at each of the sizes")
    parser.add_argument("--seed", type=int, default=0, help="of every log")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    found = parser.parse_args(given)
    sizes = (found.edges, found.users, found.items, found.retrieval_users, found.retrieval_items, found.large_items)
    if min(*sizes, found.large_edges // 10, found.steps, *found.sizes) < 1:
        parser.error("sizes are at least 1")
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0, or 1 with what was measured so far where a part failed."""
    asked = arguments(given)
    found: dict[str, Any] = {}
    failed = False
    try:
        measured(asked, found)
    except ProcessFailed as error:
        tell(f"failed: {error}")
        failed = True
    sizes = {name: value for name, value in vars(asked).items() if name not in ("json", "only")}
    figures = as_json(found, sizes)
    asked.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(as_markdown(figures))
    return int(failed)


def tell(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
