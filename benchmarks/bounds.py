"""Bounds: whether measured figures keep what is asked of them.

Arrives: figures and bounds by name. Leaves: the object `bounds` of a benchmark's JSON, and the rows of its table. Next:
`benchmarks.table`, `benchmarks.training`, `benchmarks.serving`, `benchmarks.freshness`.
"""

from collections.abc import Mapping
from typing import Any

KEEPS = {
    "at least": lambda value, bound: value >= bound,
    "at most": lambda value, bound: value <= bound,
    "below": lambda value, bound: value < bound,
}
"""By the word of a bound: whether a value keeps it."""

_WORDS = {True: "met", False: "missed", None: ""}


def judged(
    values: Mapping[str, float | None], bounds: Mapping[str, tuple[float, str]], *, digits: int | None = None
) -> dict[str, dict[str, Any]]:
    """Return value, bound and `met` for each bound; None for a figure that was not measured.

    `digits` rounds what is shown and not what is judged; None shows the value as it is.
    """
    found = {}
    for name, (bound, word) in bounds.items():
        value = values.get(name)
        met = None if value is None else KEEPS[word](value, bound)
        shown = value if value is None or digits is None else round(value, digits)
        found[name] = {"value": shown, "bound": f"{word} {bound:g}", "met": met}
    return found


def rows(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table of judged bounds, after an empty line."""
    lines = ["", "| | measured | bound | |", "|---|---|---|---|"]
    for name, held in found.items():
        value = "not run" if held["value"] is None else f"{held['value']:,g}"
        lines.append(f"| {name} | {value} | {held['bound']} | {_WORDS[held['met']]} |")
    return lines
