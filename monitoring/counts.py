"""Counts: what was shown, seen, clicked, bought and taken back, for a span of time and for each of its segments.

Arrives: the impressions of `shown`. Leaves: `Counts` by segment; the figures of metric `ctr` for `metric_windows`.
Next: `monitoring.windows` stores them, `triggers`, `metrics`, the report and the dashboard read them.

Everything belongs to the time at which the list was served, also when the click comes later. All counts are of people;
robots are counted beside them. An impression with several clicks counts as clicked once. It counts as clicked, too, if
it was only put into the cart or bought, because the shopper came from the list.

The counts of a span are a pure function of the rows: they do not depend on the order in which the rows arrived. Money
is added by `math.fsum`, which is exact, so the same rows always make the same number.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection

from monitoring.intervals import Rate, proportion
from monitoring.names import Vocabulary
from monitoring.segments import SEGMENT_KINDS, Segments, model_kinds
from monitoring.shown import read_shown
from monitoring.tally import SUMS, Tally, cluster
from monitoring.windows import Figure, TimeWindow
from training.evaluation.sequential import ClusterSums

METRIC = "ctr"
"""The name of the stored figures in `metric_windows`."""


@dataclass(frozen=True)
class Counts:
    """What was counted in one segment of a span. Without "robot" in its name, a count is of people.

    `cluster` has sums over shoppers: n shoppers, xx = Σ impressions², yy = Σ clicks², xy = Σ impressions · clicks; cc
    and xc the same for carts, pp and xp for purchases.
    """

    lists: int = 0
    """Lists with at least one item shown."""
    fetched: int = 0
    """Lists without any: they were merely fetched."""
    shown_by_event: int = 0
    """Those of `lists` that only an event proved to be shown."""
    impressions: int = 0
    viewers: int = 0
    clicks: int = 0
    """Impressions with a click, a cart or a purchase."""
    carts: int = 0
    """Impressions with a cart."""
    purchases: int = 0
    """Impressions with a purchase."""
    orders: int = 0
    """Orders of a shopper; a purchase without an order_id is one of its own."""
    revenue: Mapping[str, float] = field(default_factory=dict)
    """By currency ("": the shop names none): the sum of price times quantity. Refunds are not subtracted."""
    refunds: Mapping[str, float] = field(default_factory=dict)
    """By currency: what returned and cancelled purchases took back, as a positive amount."""
    robot_impressions: int = 0
    robot_clicks: int = 0
    cluster: Mapping[str, int] = field(default_factory=lambda: cluster({}))

    def ctr(self) -> Rate:
        """Return the click-through rate: clicked impressions / impressions."""
        return proportion(self.sums("clicked"))

    def cart_rate(self) -> Rate:
        """Return the add-to-cart rate: impressions with a cart / impressions."""
        return proportion(self.sums("carted"))

    def conversion(self) -> Rate:
        """Return the conversion rate: impressions with a purchase / impressions."""
        return proportion(self.sums("purchased"))

    def sums(self, mark: str) -> ClusterSums:
        """Return the sums over shoppers of a rate: clicked, carted, purchased."""
        top = {"clicked": self.clicks, "carted": self.carts, "purchased": self.purchases}[mark]
        squared, product = (self.cluster[name] for name in SUMS[mark])
        return ClusterSums(self.cluster["n"], top, self.impressions, squared, self.cluster["xx"], product)

    def detail(self) -> dict[str, Any]:
        """Return the counts for JSON, with all keys."""
        return asdict(self)

    @classmethod
    def of_detail(cls, detail: Mapping[str, Any]) -> "Counts":
        """Return the counts that `detail` wrote. Raises `KeyError` for a window of an older version."""
        return cls(**{name: detail[name] for name in cls.__dataclass_fields__})


def count(connection: Connection, span: TimeWindow, *, segments: Collection[str] = SEGMENT_KINDS) -> dict[str, Counts]:
    """Return the counts of each segment with impressions or fetched lists in the span, and always those of `all`.

    Args:
        connection: a transaction that shows one state of the data (`graphstore.session.read`). Nothing is written.
        span: any start and end.
        segments: what to divide by, of `SEGMENT_KINDS` and `segments.TIME_KINDS`. Raises `ValueError` for others.
    """
    return _counted(connection, [span], segments)[0]


def recount(connection: Connection, windows: Sequence[TimeWindow]) -> list[Figure]:
    """Return the figures of metric `ctr` of these windows, for `monitoring.windows.write_figures`. Nothing is written.

    Rows that several windows share, as those of an hour and its day, are read once.
    """
    figures = []
    for group in _overlapping(windows):
        for window, counted in zip(group, _counted(connection, group, SEGMENT_KINDS), strict=True):
            figures += [_figure(window, segment, counts) for segment, counts in sorted(counted.items())]
    return figures


def _figure(window: TimeWindow, segment: str, counts: Counts) -> Figure:
    rate = counts.ctr()
    return Figure(METRIC, segment, window, rate.value, rate.low, rate.high, counts.detail())


def _overlapping(windows: Iterable[TimeWindow]) -> list[list[TimeWindow]]:
    """Return the windows in groups that share no time, so that only one group is in memory."""
    groups: list[list[TimeWindow]] = []
    end = -math.inf
    for window in sorted(set(windows)):
        if not groups or window.start >= end:
            groups.append([])
        groups[-1].append(window)
        end = max(end, window.end)
    return groups


def _counted(
    connection: Connection, windows: Sequence[TimeWindow], segments: Collection[str]
) -> list[dict[str, Counts]]:
    """Return the counts of each of the windows, reading the time from the first to the last of them once."""
    vocabulary = Vocabulary()
    divided = Segments(vocabulary, model_kinds(connection))
    tallies = [Tally(segments, divided) for _ in windows]
    span = TimeWindow(min(w.start for w in windows), max(w.end for w in windows))
    for rows in read_shown(connection, span, vocabulary):
        for window, tally in zip(windows, tallies, strict=True):
            tally.add(rows, window)
    return [{segment: Counts(**fields) for segment, fields in tally.fields().items()} for tally in tallies]
