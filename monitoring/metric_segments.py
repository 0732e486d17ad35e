"""Metric segments: the segments of a figure that have a time series of their own in Prometheus.

Arrives: the figures of a pass, of every segment that the events name. Leaves: the newest figure of a bounded number of
segments; the others of one kind are one segment, `slot:other`. Next: `monitoring.metrics` shows them.

Events on Kafka may name any slot, model, variant or source: 300 made-up slots were 1,200 series. The tables and the
dashboard still have all segments. Rejected: to drop the others. A shop that forgets to configure a slot would miss its
impressions and not know why.
"""

from collections.abc import Collection, Iterable

from graphstore.metric_labels import OTHER
from monitoring.windows import ALL, Figure

KEPT = {"model": 10, "variant": 20, "position": 20, "source": 16, "kind": 10}
"""The number of segments of each kind that have a series: the newest, then those with the most impressions. Of slots,
the configured ones; of sources, as many as the code names (docs/slots.md)."""


def newest_figures(figures: Iterable[Figure], *, slots: Collection[str]) -> dict[str, Figure]:
    """Return the newest figure with a value of each segment. Of two windows that begin together, the shorter counts.

    At most 1 + `len(slots)` + the sum of `KEPT` segments, and one of all others for each kind. A segment of another
    kind is left out. The figure of all others has the sums of their newest window, and no interval: a shopper may be in
    several of them, so their intervals do not add up.
    """
    newest: dict[str, Figure] = {}
    for figure in figures:
        before = newest.get(figure.segment)
        if figure.value is not None and (before is None or _age(figure) < _age(before)):
            newest[figure.segment] = figure
    shown = {ALL: newest[ALL]} if ALL in newest else {}
    own = {f"slot:{slot}" for slot in slots}
    for kind in ("slot", *KEPT):
        found = [figure for name, figure in newest.items() if name.startswith(f"{kind}:")]
        found.sort(key=lambda figure: (*_age(figure), -figure.detail["impressions"], figure.segment))
        if kind == "slot":
            kept = [figure for figure in found if figure.segment in own]
            others = [figure for figure in found if figure.segment not in own]
        else:
            kept, others = found[: KEPT[kind]], found[KEPT[kind] :]
        shown |= {figure.segment: figure for figure in kept}
        if others:
            shown[f"{kind}:{OTHER}"] = _together(f"{kind}:{OTHER}", others)
    return shown


def _age(figure: Figure) -> tuple[int, int]:
    return -figure.window.start, figure.window.end


def _together(segment: str, figures: Collection[Figure]) -> Figure:
    newest = min(figures, key=_age)
    same = [figure.detail for figure in figures if figure.window == newest.window]
    detail = {name: sum(part[name] for part in same) for name in ("impressions", "clicks")}
    return Figure(newest.metric, segment, newest.window, detail["clicks"] / detail["impressions"], detail=detail)
