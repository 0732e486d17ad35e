"""Slots: click-through and sales by slot, position, source and kind of model.

Arrives: stored windows of the last days. Leaves: the page `slots`. Next: `monitoring.dashboard.show` writes it.
"""

from sqlalchemy import Connection

from monitoring.counts import Counts
from monitoring.dashboard.charts import rate_bars
from monitoring.dashboard.series import DAY, pooled, read_segments, segment_names, span_of, values_of
from monitoring.dashboard.wording import window
from monitoring.segments import LAST_POSITION
from monitoring.windows import ALL
from serving.dashboard.blocks import AnyBlock, Cell, Column, Page, Row, Rows, Unit

DAYS = 7
MAX_BARS = 20
MAX_ROWS = 50

KINDS = {"slot": "Slots", "source": "Sources of the items", "kind": "Kinds of models"}

_COLUMNS: tuple[tuple[str, Unit], ...] = (
    ("lists", "count"),
    ("shown", "count"),
    ("share of all shown", "share"),
    ("clicked", "share"),
    ("bought", "share"),
    ("orders", "count"),
    ("revenue", "text"),
    ("merely fetched lists", "count"),
)


def compose(connection: Connection, *, now: int) -> Page:
    """Return the page as of `now` (epoch ms)."""
    since = now // DAY * DAY - (DAYS - 1) * DAY
    names = segment_names(connection)
    wanted = {kind: values_of(kind, names) for kind in (*KINDS, "position")}
    segments = {ALL, *(name for values in wanted.values() for name in values)}
    found = read_segments(connection, segments, width=DAY, since=since, until=now)
    span = span_of(found.get(ALL, []), now=now)
    said = "" if span is None else window(span)
    everything = pooled(found.get(ALL, [])).impressions
    blocks: list[AnyBlock] = []
    for kind, title in KINDS.items():
        totals = {value: pooled(found[name]) for name, value in wanted[kind].items() if name in found}
        largest = dict(sorted(totals.items(), key=lambda entry: (-entry[1].impressions, entry[0])))
        if kind == "slot":
            bars = {value: counts.ctr() for value, counts in list(largest.items())[:MAX_BARS]}
            blocks.append(rate_bars("Click-through by slot", bars, window=said, n_of="impressions", note=_NOTE))
        blocks.append(_table(kind, title, largest, everything, said))
    positions = {value: pooled(found[name]) for name, value in wanted["position"].items() if name in found}
    ordered = {value: positions[value].ctr() for value in sorted(positions, key=_number)}
    blocks.insert(
        2,
        rate_bars(
            "Click-through by position",
            ordered,
            window=said,
            n_of="impressions",
            note=f"Positions count from 0, to {LAST_POSITION}. Shoppers look at the first positions most: a rate that "
            "falls with the position says how they look, not how good the items are.",
        ),
    )
    return Page(name="slots", title="Slots and positions", made_at=now, blocks=blocks)


_NOTE = "Of people, with the 95 % interval clustered by shopper."


def _number(value: str) -> int:
    return int(value) if value.isdecimal() else LAST_POSITION + 1


def _table(kind: str, title: str, totals: dict[str, Counts], everything: int, said: str) -> Rows:
    rows = [_row(value, counts, everything) for value, counts in list(totals.items())[:MAX_ROWS]]
    left = len(totals) - len(rows)
    return Rows(
        title=title,
        note=f"{left} more with fewer impressions are left out." if left else "",
        columns=[Column(name=kind), *(Column(name=name, unit=unit) for name, unit in _COLUMNS)],
        rows=rows,
        window=said,
        empty="No list was served in this time.",
    )


def _row(value: str, counts: Counts, everything: int) -> Row:
    share = counts.impressions / everything if everything else None
    rates = [
        Cell(value=rate.value, low=rate.low, high=rate.high, title=f"of {rate.n:,} shown")
        for rate in (counts.ctr(), counts.conversion())
    ]
    return Row(
        cells=[
            value,
            counts.lists,
            counts.impressions,
            share,
            *rates,
            counts.orders,
            amounts(counts),
            counts.fetched,
        ]
    )


def amounts(counts: Counts) -> str | None:
    """Return the revenue of each currency in words, with what was taken back; None where nothing was sold."""
    parts = []
    for currency in sorted({*counts.revenue, *counts.refunds}):
        back = counts.refunds.get(currency, 0.0)
        said = f"{counts.revenue.get(currency, 0.0):,.2f} {currency}".strip()
        parts.append(f"{said} (taken back: {back:,.2f})" if back else said)
    return ", ".join(parts) or None
