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
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from graphstore.arrays import BoolArray, IntArray, distinct, run_starts
from graphstore.tables import HOUR_MS, models
from monitoring.intervals import Rate, proportion
from monitoring.shown import CLICK_TYPES, PURCHASE, Names, Shown, Vocabulary, read_shown
from monitoring.windows import ALL, Figure, TimeWindow, segment_name
from training.evaluation.sequential import ClusterSums

METRIC = "ctr"
"""The name of the stored figures in `metric_windows`."""
SEGMENT_KINDS = ("model", "slot", "variant", "position", "source", "kind")
"""What the stored windows are divided by. `kind` is the kind of the list's model."""
TIME_KINDS = ("day", "hour")
"""What a report may be divided by as well, in UTC. A stored window is one of these itself."""
LAST_POSITION = 20
"""The last position with its own segment: the first page of a list."""
DAY_MS = 24 * HOUR_MS
UNKNOWN_KIND = "unknown"
"""The kind of a model that is not in the registry."""

_MARKS = ("clicked", "carted", "purchased")
_SUMS = {"clicked": ("yy", "xy"), "carted": ("cc", "xc"), "purchased": ("pp", "xp")}


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
    cluster: Mapping[str, int] = field(default_factory=lambda: _cluster({}))

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
        squared, product = (self.cluster[name] for name in _SUMS[mark])
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
        segments: what to divide by, of `SEGMENT_KINDS` and `TIME_KINDS`. Raises `ValueError` for others.
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
    if unknown := set(segments) - {*SEGMENT_KINDS, *TIME_KINDS}:
        raise ValueError(f"counts are not divided by {', '.join(sorted(unknown))}")
    vocabulary = Vocabulary()
    kinds = {row.model_version: row.kind for row in connection.execute(select(models.c.model_version, models.c.kind))}
    tallies = [Tally(segments, vocabulary, kinds) for _ in windows]
    span = TimeWindow(min(w.start for w in windows), max(w.end for w in windows))
    for rows in read_shown(connection, span, vocabulary):
        for window, tally in zip(windows, tallies, strict=True):
            tally.add(rows, rows.within(window))
    return [tally.counts() for tally in tallies]


class Tally:
    """Adds up the pieces of a span by segment."""

    def __init__(self, segments: Collection[str], vocabulary: Vocabulary, kinds: Mapping[str, str]) -> None:
        self._vocabulary = vocabulary
        self._kinds = kinds
        self._parts = {segment: _Part() for segment in (ALL, *dict.fromkeys(segments))}

    def add(self, rows: Shown, chosen: slice) -> None:
        """Add the chosen rows of a piece. A row counts in one segment of each kind."""
        if chosen.start < chosen.stop:
            for kind, part in self._parts.items():
                part.add(rows, chosen, self._segments(kind, rows, chosen))

    def counts(self) -> dict[str, Counts]:
        """Return the counts of every segment that has rows, and of `all`."""
        found = {ALL: Counts()}
        for kind, part in self._parts.items():
            for code, counts in part.counts().items():
                found[ALL if kind == ALL else segment_name(kind, self._name(kind, code))] = counts
        return found

    def _segments(self, kind: str, rows: Shown, chosen: slice) -> IntArray:
        """Return the segment of each chosen row; -1 for none."""
        if kind == ALL:
            return np.zeros(chosen.stop - chosen.start, dtype=np.int64)
        if kind == "position":
            return np.where(rows.position[chosen] <= LAST_POSITION, rows.position[chosen], -1)
        if kind in TIME_KINDS:
            return rows.time[chosen] // (HOUR_MS if kind == "hour" else DAY_MS)
        if kind == "kind":
            kinds = sorted({UNKNOWN_KIND, *self._kinds.values()})
            of_model = [kinds.index(self._kinds.get(name, UNKNOWN_KIND)) for name in self._vocabulary.models.texts()]
            return np.array(of_model, dtype=np.int64)[rows.model[chosen]]
        codes: IntArray = getattr(rows, kind)[chosen]
        return codes

    def _name(self, kind: str, code: int) -> str:
        if kind == "position":
            return str(code)
        if kind in TIME_KINDS:
            width, form = (HOUR_MS, "%Y-%m-%dT%H") if kind == "hour" else (DAY_MS, "%Y-%m-%d")
            return datetime.fromtimestamp(code * width / 1000, UTC).strftime(form)
        if kind == "kind":
            return sorted({UNKNOWN_KIND, *self._kinds.values()})[code]
        names: Names = getattr(self._vocabulary, f"{kind}s")
        return names.texts()[code]


class _Part:
    """The sums of one kind of segment. Arrays have a row for each (segment, shopper) of each piece."""

    def __init__(self) -> None:
        self._shoppers: list[IntArray] = []  # [4 + marks, n]: segment, shopper, impressions, then each mark
        self._single: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._orders: dict[int, set[tuple[int, str]]] = defaultdict(set)
        self._money: dict[tuple[int, bool], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, rows: Shown, chosen: slice, segments: IntArray) -> None:
        inside = segments >= 0
        people = inside & ~rows.robot[chosen]
        shown = people & rows.shown[chosen]
        robots = inside & rows.robot[chosen] & rows.shown[chosen]
        marks = [getattr(rows, mark)[chosen] for mark in _MARKS]
        person, of_list = rows.person[chosen], rows.of_list[chosen]
        self._shoppers.append(
            _summed(segments[shown], person[shown], [np.ones(int(shown.sum()), np.int64), *(m[shown] for m in marks)])
        )
        self._add_lists(segments, of_list, people, shown, vouched=shown & ~rows.by_event[chosen])
        self._add_single("robot_impressions", segments[robots])
        self._add_single("robot_clicks", segments[robots & marks[0]])
        self._add_credits(rows, chosen, segments, shown)

    def _add_lists(
        self, segments: IntArray, of_list: IntArray, people: BoolArray, shown: BoolArray, *, vouched: BoolArray
    ) -> None:
        lists = int(of_list.max()) + 1
        for name, chosen in (("known", people), ("lists", shown), ("vouched", vouched)):
            self._add_single(name, distinct(segments[chosen] * lists + of_list[chosen]) // lists)

    def _add_single(self, name: str, segments: IntArray) -> None:
        for code, number in _sizes(segments):
            self._single[code][name] += number

    def _add_credits(self, rows: Shown, chosen: slice, segments: IntArray, shown: BoolArray) -> None:
        credits = rows.credits
        wanted = np.flatnonzero((credits.row >= chosen.start) & (credits.row < chosen.stop))
        for index in wanted[shown[credits.row[wanted] - chosen.start]]:
            row, revenue = credits.row[index], float(credits.revenue[index])
            segment, bought = int(segments[row - chosen.start]), credits.event_type[index] == PURCHASE
            if bought:
                self._orders[segment].add((int(rows.person[row]), credits.order[index]))
            if not math.isnan(revenue) and (bought or credits.event_type[index] not in CLICK_TYPES):
                self._money[segment, bool(bought)][credits.currency[index]].append(abs(revenue))

    def counts(self) -> dict[int, Counts]:
        by_shopper = self._by_shopper()
        found = {}
        for segment in sorted(self._single.keys() | by_shopper.keys()):
            single = self._single[segment]
            sums = by_shopper.get(segment, {})
            found[segment] = Counts(
                lists=single["lists"],
                fetched=single["known"] - single["lists"],
                shown_by_event=single["lists"] - single["vouched"],
                impressions=sums.get("x", 0),
                viewers=sums.get("n", 0),
                clicks=sums.get("clicked", 0),
                carts=sums.get("carted", 0),
                purchases=sums.get("purchased", 0),
                orders=len(self._orders.get(segment, ())),
                revenue=_added(self._money.get((segment, True), {})),
                refunds=_added(self._money.get((segment, False), {})),
                robot_impressions=single["robot_impressions"],
                robot_clicks=single["robot_clicks"],
                cluster=_cluster(sums),
            )
        return found

    def _by_shopper(self) -> dict[int, dict[str, int]]:
        if not self._shoppers:
            return {}
        segments, persons, *columns = np.concatenate(self._shoppers, axis=1)
        segments, _, x, *marks = _summed(segments, persons, columns)
        if not len(segments):
            return {}
        starts = run_starts(segments)
        sums = {"n": np.ones_like(x), "x": x, "xx": x * x}
        for mark, y in zip(_MARKS, marks, strict=True):
            squared, product = _SUMS[mark]
            sums |= {mark: y, squared: y * y, product: x * y}
        added = {name: np.add.reduceat(values, starts) for name, values in sums.items()}
        return {
            int(segment): {name: int(values[index]) for name, values in added.items()}
            for index, segment in enumerate(segments[starts])
        }


def _cluster(sums: Mapping[str, int]) -> dict[str, int]:
    return {name: sums.get(name, 0) for name in ("n", "xx", "yy", "xy", "cc", "xc", "pp", "xp")}


def _added(amounts: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {currency: math.fsum(values) for currency, values in sorted(amounts.items())}


def _sizes(segments: IntArray) -> Iterable[tuple[int, int]]:
    """Return (segment, how many rows) of each segment."""
    ordered = np.sort(segments)
    starts = run_starts(ordered)
    return zip(ordered[starts].tolist(), np.diff(starts, append=len(ordered)).tolist(), strict=True)


def _summed(segments: IntArray, persons: IntArray, columns: Sequence[IntArray | BoolArray]) -> IntArray:
    """Return [2 + columns, n]: each (segment, shopper) once, in ascending order, and the sums of the columns."""
    if not len(segments):
        return np.empty((2 + len(columns), 0), dtype=np.int64)
    width = int(persons.max()) + 1
    keys = segments * width + persons
    order = np.argsort(keys, kind="stable")
    starts = run_starts(keys[order])
    found = keys[order][starts]
    sums = [np.add.reduceat(column[order].astype(np.int64), starts) for column in columns]
    return np.stack([found // width, found % width, *sums])
