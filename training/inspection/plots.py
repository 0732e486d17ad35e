"""Plots: metric curves, precision and recall, learning curves, item maps, degree distributions, benchmark bars.

Arrives: arrays and numbers. Leaves: a `Figure`, and files. Next: `sagestream visualize` and `graph report`.

The figures use matplotlib's object API, without a window and without global state. Files contain no date, so the same
numbers give the same bytes with one version of matplotlib.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from graphstore.arrays import Float64Array, IntArray
from training.options import FitEvaluation

FORMATS = (".png", ".svg")
DOTS_PER_INCH = 150
GREY = "0.75"
MEASURES = {"ndcg": "NDCG", "recall": "recall", "precision": "precision", "hit_rate": "hit rate"}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800", "#7B3294", "#8C510A")
"""Distinct for colour-blind readers. The first seven are from Okabe & Ito (2008), without yellow."""
LINES = ("-", "--", "-.", ":")
MARKED_CUTOFFS = (1, 5, 10, 20, 50, 100)


def save(figure: Figure, path: Path) -> Path:
    """Write the figure in the format of the file suffix and return the path. Raises `ValueError` for other formats."""
    if path.suffix not in FORMATS:
        raise ValueError(f"{path.name}: a picture ends in {' or '.join(FORMATS)}")
    FigureCanvasAgg(figure)
    # Ids in an SVG are hashed with a salt. The default salt is random.
    with mpl.rc_context({"svg.hashsalt": "sagestream", "svg.fonttype": "path"}):
        metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=DOTS_PER_INCH, metadata=metadata)
    return path


def metric_curves(curves: Mapping[str, Mapping[str, Float64Array]], *, title: str) -> Figure:
    """Draw four panels over the list length k. `curves` holds the measures by model and name, each [K] for k = 1 …
    K."""
    figure = _figure(9.0, 7.0, title)
    panels = figure.subplots(2, 2, sharex=True)
    for axes, (name, label) in zip(panels.flat, MEASURES.items(), strict=True):
        for index, (model, measures) in enumerate(curves.items()):
            values = measures[name]
            axes.plot(np.arange(1, len(values) + 1), values, LINES[index % 4], color=_colour(index), label=model)
        axes.set_ylabel(f"{label}@k, mean over shoppers")
        axes.set_ylim(bottom=0)
        _grid(axes)
    for axes in panels[1]:
        axes.set_xlabel("k, items in the list")
    panels[0, 0].legend()
    return figure


def precision_recall(curves: Mapping[str, Mapping[str, Float64Array]], *, title: str) -> Figure:
    """Draw precision against recall for lists of 1 to K items. Some lengths are marked on each curve."""
    figure = _figure(7.0, 5.5, title)
    axes = figure.subplots()
    for index, (model, measures) in enumerate(curves.items()):
        recall, precision = measures["recall"], measures["precision"]
        marked = [k - 1 for k in MARKED_CUTOFFS if k <= len(recall)]
        axes.plot(
            recall, precision, LINES[index % 4], marker="o", markersize=4, markevery=marked, color=_colour(index),
            label=model,
        )  # fmt: skip
        for at in marked:
            axes.annotate(
                f"k={at + 1}", (float(recall[at]), float(precision[at])), xytext=(5, 4), textcoords="offset points",
                fontsize=8, color=_colour(index),
            )  # fmt: skip
    axes.set_xlabel("recall@k, mean over shoppers")
    axes.set_ylabel("precision@k, mean over shoppers")
    axes.margins(x=0.12, y=0.1)  # the labels of the marks need room
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    _grid(axes)
    axes.legend()
    return figure


def learning_curve(evaluations: Sequence[FitEvaluation], *, kept_step: int, title: str) -> Figure:
    """Training loss and, where there was a validation window, NDCG@20 by step; a line marks the weights that were kept.

    Raises `ValueError` without evaluations.
    """
    if not evaluations:
        raise ValueError("a learning curve needs evaluations")
    judged = [(evaluation.step, evaluation.ndcg) for evaluation in evaluations if evaluation.ndcg is not None]
    figure = _figure(7.0, 6.0 if judged else 4.0, title)
    panels = list(figure.subplots(2 if judged else 1, 1, sharex=True, squeeze=False).flat)
    steps = [evaluation.step for evaluation in evaluations]
    panels[0].plot(steps, [evaluation.loss for evaluation in evaluations], marker="o", markersize=3, color=COLOURS[0])
    panels[0].set_ylabel("training loss,\nmean since the previous evaluation")
    if judged:
        panels[1].plot(*zip(*judged, strict=True), marker="o", markersize=3, color=COLOURS[1])
        panels[1].set_ylabel("validation NDCG@20,\nGraphSAGE alone")
    for axes in panels:
        if kept_step in steps:
            axes.axvline(kept_step, color="0.4", linestyle=":", label=f"weights kept, step {kept_step}")
            axes.legend()
        _grid(axes)
    panels[-1].set_xlabel("steps of descent")
    return figure


def embedding_map(points: Float64Array, groups: Sequence[str | None], *, title: str, legend: str) -> Figure:
    """Draw points [n, 2] in the colours of their groups, by descending size. None is grey and below the others."""
    figure = _figure(9.0, 6.5, title)
    axes = figure.subplots()
    names = [name for name in dict.fromkeys(groups) if name is not None]
    counts = {name: sum(group == name for group in groups) for name in names}
    names = sorted(names, key=lambda name: (-counts[name], name))
    size = float(np.clip(6_000 / max(len(points), 1), 3, 24))
    parts: list[tuple[str | None, str, str]] = [(None, "other", GREY)]
    parts += [(name, name, _colour(index)) for index, name in enumerate(names)]
    for group, label, colour in parts:
        chosen = np.array([one == group for one in groups], dtype=np.bool_)
        if chosen.any():
            axes.scatter(
                points[chosen, 0], points[chosen, 1], s=size, color=colour, linewidths=0, alpha=0.85,
                label=f"{_short(label)} ({int(chosen.sum()):,})",
            )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("nearness counts, the axes have no unit")
    axes.set_aspect("equal", adjustable="datalim")
    if len(points):
        handles, labels = axes.get_legend_handles_labels()
        if None in groups:  # drawn first, so that it covers no other point, but last in the legend
            handles, labels = [*handles[1:], handles[0]], [*labels[1:], labels[0]]
        axes.legend(
            handles, labels, title=legend, markerscale=2, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False
        )
    return figure


def degree_distribution(degrees: Mapping[str, IntArray], *, title: str) -> Figure:
    """Draw for each kind of node the share with at least k events, both axes logarithmic; degrees [num_nodes]."""
    figure = _figure(7.0, 5.0, title)
    axes = figure.subplots()
    for index, (kind, values) in enumerate(degrees.items()):
        touched = np.sort(values[values > 0])
        label = f"{kind} ({len(touched):,}"
        label += f", and {len(values) - len(touched):,} without events)" if len(touched) < len(values) else ")"
        numbers, firsts = np.unique(touched, return_index=True)
        shares = 1.0 - firsts / max(len(touched), 1)
        axes.step(numbers, shares, LINES[index % 4], where="pre", color=_colour(index), label=label)
    if any((values > 0).any() for values in degrees.values()):
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlabel("events of a node, at least")
    axes.set_ylabel("share of the nodes with events")
    _grid(axes)
    axes.legend()
    return figure


def benchmark_bars(models: Mapping[str, Mapping[str, tuple[float, float]]], *, title: str) -> Figure:
    """Draw each model's measures, each as mean and deviation over seeds. The best model is on top."""
    measures = list(dict.fromkeys(name for row in models.values() for name in row))
    figure = _figure(4.0 * max(len(measures), 1) + 1.5, 1.6 + 0.34 * len(models), title)
    ordered = sorted(models, key=lambda model: models[model].get(measures[0], (0.0, 0.0))[0]) if measures else []
    for index, (axes, measure) in enumerate(
        zip(figure.subplots(1, max(len(measures), 1), sharey=True, squeeze=False).flat, measures, strict=False)
    ):
        rows = [models[model].get(measure, (0.0, 0.0)) for model in ordered]
        axes.barh(
            range(len(ordered)), [mean for mean, _ in rows], xerr=[deviation for _, deviation in rows],
            color=_colour(index), height=0.7, error_kw={"capsize": 2},
        )  # fmt: skip
        axes.set_yticks(range(len(ordered)), [_short(name) for name in ordered])
        for at, (mean, deviation) in enumerate(rows):
            axes.annotate(
                f"{mean:.4f}", (mean + deviation, at), xytext=(4, 0), textcoords="offset points", va="center",
                fontsize=8,
            )  # fmt: skip
        axes.set_xlabel(f"{measure}, mean over shoppers")
        axes.margins(x=0.18)
        axes.set_xlim(left=0)
        axes.grid(visible=True, axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    return figure


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(_plain(title))
    return figure


def _grid(axes: Axes) -> None:
    axes.grid(visible=True, which="major", alpha=0.3)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _short(name: str, limit: int = 32) -> str:
    return _plain(name if len(name) <= limit else f"{name[: limit - 1]}…")


def _plain(text: str) -> str:
    """Return text without matplotlib's mathematics between dollar signs. Category names are plain text."""
    return "".join(character if character.isprintable() else "·" for character in text).replace("$", r"\$")
