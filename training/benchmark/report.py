"""Report: a benchmark's results as Markdown.

Arrives: `training.benchmark.comparison.Results`. Leaves: text. Next: the command line prints it; a README may hold it.
"""

from collections.abc import Sequence

from training.benchmark.comparison import OURS, RATIOS, ModelResult, Results
from training.evaluation.ranking import METRIC

SLICES = (("warm", "ndcg"), ("cold_users", "ndcg"), ("cold_items", "recall"))

FRAME = 3
"""Characters of a column besides its content: two spaces and a line."""
WIDTH = 80
"""Maximum characters in a line of a table. A wider table is split, and each part has the model column."""


def markdown(results: Results, *, cutoffs: Sequence[int]) -> str:
    """Return tables, sorted by NDCG at the largest of `cutoffs`, and a sentence on our model and the best baseline."""
    deepest = max(cutoffs)
    order = sorted(results.models, key=lambda name: -results.models[name].measures[f"ndcg@{deepest}"][0])
    accuracy = [f"{measure}@{k}" for k in cutoffs for measure in ("ndcg", "recall")]
    more = [
        f"{measure}@{deepest}"
        for measure in (
            *("precision", "map", "mrr", "hit_rate", "ndcg_ips", "recall_ips"),
            *("coverage", "novelty", "diversity", "popularity_bias"),
        )
    ]
    rows = {name: results.models[name] for name in order}
    seeded = f" ± deviation over {results.seeds} seeds" if results.seeds > 1 else ""
    return "\n\n".join(
        [
            f"Mean over users{seeded}:",
            _table(
                ["model", *(title(name) for name in accuracy), "CPU s", "MB"],
                [
                    [_display_name(name), *(_measure(result, measure) for measure in accuracy), *_costs(result)]
                    for name, result in rows.items()
                ],
            ),
            _table(
                ["model", *(title(name) for name in more)],
                [
                    [_display_name(name), *(f"{result.measures[measure][0]:.4f}" for measure in more)]
                    for name, result in rows.items()
                ],
            ),
            _slices(rows, deepest),
            sentence(results),
        ]
    )


def sentence(results: Results) -> str:
    """Return one sentence that compares our model with the best baseline."""
    if results.best_baseline is None:
        return "No baseline was asked for."
    best = f"`{results.best_baseline}`, the best baseline on the test window itself (the choice that is hardest on us)"
    if not results.difference:
        return f"Best: {best}."
    ratios = ", ".join(
        f"{title(name)} × {'—' if results.ratio[name] is None else f'{results.ratio[name]:.3f}'}" for name in RATIOS
    )
    bounds = results.difference[METRIC]
    return (
        f"`{OURS}` against {best}: {ratios}; difference in {title(METRIC)} {bounds['mean']:+.4f}, 95 % of resampled "
        f"users between {bounds['low']:+.4f} and {bounds['high']:+.4f}."
    )


def row(name: str, result: ModelResult, *, cutoffs: Sequence[int]) -> str:
    """Return one model's accuracy and cost in a line, for a log."""
    measures = [f"{measure}@{k}" for k in cutoffs for measure in ("ndcg", "recall")]
    seconds, memory = _costs(result)
    costs = [f"{seconds} CPU s", f"{memory} MB"] if seconds else []
    return f"{name}: " + " · ".join([*(f"{title(one)} {_measure(result, one)}" for one in measures), *costs])


def title(measure: str) -> str:
    """Return `ndcg@20` as a heading."""
    name, _, cutoff = measure.partition("@")
    first, *others = name.split("_")
    words = [first.upper() if first in ("ndcg", "map", "mrr") else first.capitalize()]
    shown = " ".join([*words, *("IPS" if word == "ips" else word for word in others)])
    return f"{shown}@{cutoff}" if cutoff else shown


def _slices(rows: dict[str, ModelResult], deepest: int) -> str:
    first = next(iter(rows.values()))
    present = [(part, measure) for part, measure in SLICES if first.slices[part]["users"]]
    headings = [
        f"{part.replace('_', ' ')} ({first.slices[part]['users']} users): {title(f'{measure}@{deepest}')}"
        for part, measure in present
    ]
    return _table(
        ["model", *headings],
        [
            [_display_name(name), *(_number(result.slices[part][f"{measure}@{deepest}"]) for part, measure in present)]
            for name, result in rows.items()
        ],
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with padded columns. A wide one is split, and each part has the first column."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    parts: list[list[int]] = []
    for column in range(1, len(header)):
        if not parts or sum(widths[index] + FRAME for index in [*parts[-1], column]) + 1 > WIDTH:
            parts.append([0])
        parts[-1].append(column)
    return "\n\n".join(
        _padded([[line[index] for index in part] for line in lines], [widths[index] for index in part])
        for part in parts or [[0]]
    )


def _padded(lines: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    shown = [
        "| "
        + " | ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in cells)
        + " |"
        for cells in (list(enumerate(zip(line, widths, strict=True))) for line in lines)
    ]
    rule = (
        "|"
        + "|".join("-" * (width + 2) if column == 0 else "-" * (width + 1) + ":" for column, width in enumerate(widths))
        + "|"
    )
    return "\n".join([shown[0], rule, *shown[1:]])


def _display_name(name: str) -> str:
    return f"**{name}**" if name == OURS else name


def _measure(result: ModelResult, measure: str) -> str:
    mean, deviation = result.measures[measure]
    return f"{mean:.4f} ± {deviation:.4f}" if deviation else f"{mean:.4f}"


def _costs(result: ModelResult) -> tuple[str, str]:
    seconds, memory = result.cpu_seconds, result.peak_rss_mb
    return "" if seconds is None else f"{seconds:.1f}", "" if memory is None else f"{memory:.0f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
