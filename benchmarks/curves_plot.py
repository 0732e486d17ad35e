"""Curves plot: NDCG@20 of all models, slice by slice, one panel for each data set.

Arrives: the report of `benchmarks.incremental`. Leaves: a picture. Next: docs/benchmarks.md shows it.
"""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.curves import MODELS
from training.evaluation.ranking import METRIC
from training.inspection.plots import COLOURS, LINES, save

PANEL = (5.0, 2.2)
"""Width and height of a panel in inches."""


def curves_figure(report: dict[str, Any]) -> Figure:
    """Draw the curves of the report. A full model that was not measured on every slice has marks without a line."""
    sets = report["sets"]
    figure = Figure(figsize=(PANEL[0], PANEL[1] * max(len(sets), 1)), layout="constrained")
    panels = list(figure.subplots(max(len(sets), 1), 1, squeeze=False).flat)
    for axes, (name, found) in zip(panels, sets.items(), strict=False):
        for index, model in enumerate(MODELS):
            values = found["curves"][METRIC][model]
            points = [(place + 1, value) for place, value in enumerate(values) if value is not None]
            if points:
                sparse = len(points) < len(values)
                line = "none" if sparse else LINES[index % len(LINES)]
                marker = "D" if sparse else None
                axes.plot(*zip(*points, strict=True), linestyle=line, marker=marker, color=COLOURS[index], label=model)
        axes.set_title(name)
        axes.set_ylabel("NDCG@20")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, alpha=0.3)
        if axes is panels[0]:
            axes.legend(fontsize=7, ncols=2)
    figure.supxlabel("slice of the last 30 % of the events")
    return figure


def save_plot(report: dict[str, Any], path: Path) -> Path:
    """Write the picture (PNG or SVG)."""
    return save(curves_figure(report), path)
