"""Gate plot: how often a change is promoted by its true effect, and what each gate loses on refreshes.

Arrives: the figures of `benchmarks.gate`. Leaves: a picture. Next: docs/benchmarks.md shows it.
"""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from training.inspection.plots import COLOURS, LINES, save

GATES = {"ours": "this gate", "before": "paired bootstrap", "always": "no gate"}


def gate_figure(found: dict[str, Any]) -> Figure:
    """Draw two panels, for all numbers of users."""
    figure = Figure(figsize=(10.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, (users, effects) in enumerate(found["structural"].items()):
        points = [(100 * float(effect), 100 * shares["within_5_windows"]) for effect, shares in effects.items()]
        left.plot(*zip(*points, strict=True), LINES[index % 4], color=COLOURS[index], label=f"{users} shoppers")
    left.set(xlabel="true effect, % of NDCG@20", ylabel="promoted within five windows, %", title="structural change")
    left.legend(fontsize=8)
    for index, (gate, label) in enumerate(GATES.items()):
        heights = [100 * row["regret"][gate] for row in found["refresh"].values()]
        places = [place + 0.27 * (index - 1) for place in range(len(heights))]
        right.bar(places, heights, 0.25, color=COLOURS[index], label=label)
    right.set_xticks(range(len(found["refresh"])), [f"{users}" for users in found["refresh"]])
    right.set(xlabel="shoppers in a window", ylabel="NDCG@20 lost against an oracle, %", title="hundred updates")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.3)
    return figure


def save_plot(found: dict[str, Any], path: Path) -> Path:
    """Write the picture (PNG or SVG)."""
    return save(gate_figure(found), path)
