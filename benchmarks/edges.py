"""Edges: the cost of a fit for one number of edges, and how it grows with the edges.

Arrives: sizes of shops. Leaves: CPU seconds and peak memory of each fit, and their slopes. Next: `benchmarks.training`
reports them.

An epoch with ten million edges takes minutes, and with sampled neighbours and many items hours. A fit may therefore
run fewer steps than an epoch. Its epoch cost is then the time outside of steps plus the mean step time for all steps of
an epoch. This is valid because each step draws its own graph and a batch of the same size.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.meters import Mark, Span, own_mark
from benchmarks.shop_log import LogSize, synthetic_log
from benchmarks.slope import slope
from graphstore.tables import HOUR_MS
from training.benchmark.isolated import peak_rss_mb
from training.config import SageConfig
from training.options import TrainingOptions
from training.sage.fit import fit_sage
from training.terms.als import AlsTerm
from training.terms.filter_bank import FilterBank
from training.terms.linear_filter import FilterSettings, LinearFilter
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

if TYPE_CHECKING:
    from graphstore.progress import Progress

PATHS: dict[str, tuple[int, ...] | None] = {"whole graph": None, "sampled": (5, 5, 3, 3)}
"""The two kinds of training step, by `SageConfig.neighbours`."""

CLOSED_FORM = "closed form"

FEATURES = 64
DRIFT_SHARE = 4
MEASURE_STEPS = 5
"""Steps between two measurements. Steps before the first one compile code and do not count for the mean."""

Run = Callable[..., dict[str, Any]]
"""Calls a function in its own process: (name, function, *arguments)."""


def sage_fit(
    shop: LogSize, neighbours: tuple[int, ...] | None, steps: int | None, seed: int, progress: "Progress"
) -> dict[str, Any]:
    """Fit GraphSAGE for `steps` steps, None for one epoch. The cost includes the graph and the final embeddings."""
    log = synthetic_log(shop, seed=seed)
    made_mb = peak_rss_mb()
    config = SageConfig()
    epoch = math.ceil(len(log) / config.batch_size)
    settings = {"max_steps": steps or epoch, "evaluate_every": MEASURE_STEPS, "neighbours": neighbours}
    config = SageConfig.model_validate({**config.model_dump(), **settings})
    features = torch.randn(shop.items, FEATURES, generator=torch.Generator().manual_seed(seed))
    marks: list[tuple[float, Mark]] = []

    def mark_progress(line: str, share: float) -> None:
        marks.append((share * config.max_steps, own_mark(0)))
        progress(line, share)

    begun = own_mark(0)
    term = fit_sage(log, features, config=config, options=TrainingOptions(seed=seed, progress=mark_progress))
    found = seconds_since(begun)
    step = found["cpu_seconds"] / term.steps
    if len(marks) > 1:
        (first, started), (last, ended) = marks[0], marks[-1]
        step = (ended.cpu_seconds - started.cpu_seconds) / (last - first)
    return {
        "steps": term.steps,
        "steps_an_epoch": epoch,
        "step_cpu_ms": round(1_000 * step, 2),
        "epoch_cpu_seconds": round(found["cpu_seconds"] + (epoch - term.steps) * step, 3),
        "log_peak_rss_mb": round(made_mb, 1),
        **found,
    }


def closed_form_fit(shop: LogSize, seed: int, progress: "Progress") -> dict[str, Any]:
    """Fit the closed-form terms: a bank of two filters, one of them with decay, trend, repeat and factorisation."""
    log = synthetic_log(shop, seed=seed)
    decaying = FilterSettings(gram_half_life_ms=log.span_hours * HOUR_MS / DRIFT_SHARE)
    fits: dict[str, Callable[[], Any]] = {
        "filters": lambda: FilterBank([LinearFilter.fit(log), LinearFilter.fit(log, decaying)]),
        "trend": lambda: Trend.fit(log),
        "factorisation": lambda: AlsTerm.fit(log),
        "repeat": lambda: PersonalRepeat.fit(log),
    }
    found: dict[str, Any] = {}
    first = own_mark(0)
    for index, (name, fit) in enumerate(fits.items()):
        progress(name, index / len(fits))
        begun = own_mark(0)
        fit()
        found[f"{name}_cpu_seconds"] = seconds_since(begun)["cpu_seconds"]
    return {**found, **seconds_since(first)}


def measure_growth(
    growth: dict[str, Any], run: Run, *, sizes: Sequence[int], edges_a_user: int, items: int, steps: int | None
) -> None:
    """Measure every fit at every size, smallest first. `growth` holds the results so far, with their slopes."""
    growth.update({**{path: {} for path in PATHS}, CLOSED_FORM: {}, "slope": {}})

    def measure(name: str, cost: str, edges: int, *call: Any) -> None:
        growth[name][str(edges)] = run(f"{name}, {edges:,} edges", *call)
        growth["slope"][name] = {key: slope(growth[name], key) for key in (cost, "peak_rss_mb")}

    for edges in sorted(sizes):
        shop = LogSize(edges, max(edges // edges_a_user, 1), items)
        for path, neighbours in PATHS.items():
            measure(path, "epoch_cpu_seconds", edges, sage_fit, shop, neighbours, steps)
        measure(CLOSED_FORM, "cpu_seconds", edges, closed_form_fit, shop)


def seconds_since(begun: Mark) -> dict[str, float]:
    """Return the CPU seconds and the clock seconds of this process since the mark."""
    span = Span.between(begun, own_mark(0))
    return {"cpu_seconds": round(span.cpu_seconds, 3), "wall_seconds": round(span.wall_seconds, 3)}
