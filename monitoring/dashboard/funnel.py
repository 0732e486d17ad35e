"""Funnel: from lists that were served to items that were bought.

Arrives: stored windows of the last days. Leaves: the page `funnel`. Next: `monitoring.dashboard.show` writes it.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from monitoring.counts import Counts
from monitoring.dashboard.series import DAY, Stored, pooled, read_segments, segment_names, span_of, values_of
from monitoring.dashboard.wording import window
from monitoring.windows import ALL
from serving.dashboard.blocks import AnyBlock, Cell, Column, Funnel, Page, Row, Rows, Step, Unit

SPANS = (1, 7, 28)
"""Days, the current one included."""

MAX_SLOTS = 50

_FEW_CARTS = "The shop sends fewer carts than purchases, so the cart is no step here."


def compose(connection: Connection, *, now: int) -> Page:
    """Return the page as of `now` (epoch ms)."""
    first = now // DAY * DAY - (max(SPANS) - 1) * DAY
    slots = values_of("slot", segment_names(connection))
    found = read_segments(connection, {ALL, *slots}, width=DAY, since=first, until=now)
    blocks: list[AnyBlock] = []
    for days in SPANS:
        windows = _newest(found.get(ALL, []), now, days)
        blocks += _funnels(windows, now, days)
    blocks.append(_by_slot(slots, found, now))
    return Page(name="funnel", title="Funnel", made_at=now, blocks=blocks)


def _newest(windows: Sequence[Stored], now: int, days: int) -> list[Stored]:
    since = now // DAY * DAY - (days - 1) * DAY
    return [stored for stored in windows if stored.window.start >= since]


def _funnels(windows: Sequence[Stored], now: int, days: int) -> list[AnyBlock]:
    span, counts = span_of(windows, now=now), pooled(windows)
    said = "" if span is None else window(span)
    name = "Today" if days == 1 else f"Last {days} days"
    enough = counts.carts >= counts.purchases
    carts = [Step(name="put into the cart", count=counts.carts)] if enough else []
    nothing = "" if counts.lists or counts.fetched else "No served list was stored in this time. "
    return [
        Funnel(
            title=f"{name}: lists",
            note=f"{nothing}A list is shown when the shop's page says so, or when a shopper acts on it. A list that "
            "was merely fetched counts in no rate.",
            steps=[
                Step(name="lists served to people", count=counts.lists + counts.fetched),
                Step(name="lists shown", count=counts.lists),
            ],
            window=said,
        ),
        Funnel(
            title=f"{name}: items",
            note=f"{nothing}Each step counts shown items, once each. Clicked: with a click, a cart or a purchase."
            + ("" if carts else f" {_FEW_CARTS}"),
            steps=[
                Step(name="shown", count=counts.impressions),
                Step(name="clicked", count=counts.clicks),
                *carts,
                Step(name="bought", count=counts.purchases),
            ],
            window=said,
        ),
    ]


def _by_slot(slots: dict[str, str], found: dict[str, list[Stored]], now: int) -> Rows:
    days = 7
    totals = {slots[name]: pooled(_newest(found.get(name, []), now, days)) for name in slots}
    largest = sorted(totals.items(), key=lambda entry: (-entry[1].impressions, entry[0]))
    rows = [_row(slot, counts) for slot, counts in largest[:MAX_SLOTS] if counts.impressions or counts.fetched]
    span = span_of(_newest(found.get(ALL, []), now, days), now=now)
    names: tuple[tuple[str, Unit], ...] = (
        ("slot", "text"),
        ("shown", "count"),
        ("clicked", "share"),
        ("cart", "share"),
        ("bought", "share"),
        ("orders", "count"),
    )
    return Rows(
        title="By slot",
        note="Shares are of shown items, with the 95 % interval.",
        columns=[Column(name=name, unit=unit) for name, unit in names],
        rows=rows,
        window="" if span is None else window(span),
        empty="No slot has shown a list yet.",
    )


def _row(slot: str, counts: Counts) -> Row:
    rates = (counts.ctr(), counts.cart_rate(), counts.conversion())
    cells = [Cell(value=rate.value, low=rate.low, high=rate.high, title=f"of {rate.n:,} shown") for rate in rates]
    return Row(cells=[slot, counts.impressions, *cells, counts.orders])
