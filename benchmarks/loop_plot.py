"""Loop plot: the click-through rate of each policy by day, one panel for each part of `benchmarks.loop`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from training.inspection.plots import COLOURS, save

COLUMNS = 3
LABELS = {
    "oracle": "oracle",
    "loop": "Sagestream's loop",
    "nightly": "full retrain each night",
    "frozen": "frozen model",
    "popularity": "recent popularity",
}


def plot(curves: Mapping[str, Mapping[str, Any]], path: Path, *, injection_day: int) -> Path:
    """Draw the curves of `figures.curves` and return the path. Raises `ValueError` for an unknown form of picture."""
    rows = max(1, -(-len(curves) // COLUMNS))
    figure = Figure(figsize=(8.0, 1.8 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True)
    for panel, (part, by_policy) in zip(panels.flat, curves.items(), strict=False):
        for colour, (policy, label) in zip(COLOURS, LABELS.items(), strict=False):
            if policy in by_policy:
                rates = [100 * rate for rate in by_policy[policy]["expected_ctr"]]
                panel.plot(range(1, len(rates) + 1), rates, color=colour, label=label, linewidth=1.5)
        if part != "quiet":
            panel.axvline(injection_day + 0.5, color="0.6", linestyle=":")
        panel.set_title(part.replace("_", " "), fontsize=9)
        panel.set_ylim(bottom=0)
        panel.grid(color="0.9")
    for panel in list(panels.flat)[len(curves) :]:
        panel.axis("off")
    for row in panels:
        row[0].set_ylabel("clicks per 100 shown", fontsize=8)
    for panel in panels[-1]:
        panel.set_xlabel("day")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    return save(figure, path)
