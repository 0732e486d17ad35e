"""Tally: adds up lists, impressions, clicks, orders and money by segment.

Arrives: the pieces of a span from `shown`. Leaves: the fields of `counts.Counts` for each segment. Next: `counts`.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graphstore.arrays import IntArray, distinct, run_starts
from monitoring.clusters import Clusters
from monitoring.segments import ROW_KINDS, Segments, checked
from monitoring.shown import CLICK_TYPES, PURCHASE, Shown, Units
from monitoring.windows import ALL, TimeWindow

MARKS = ("clicked", "carted", "purchased")
SUMS = {"clicked": ("yy", "xy"), "carted": ("cc", "xc"), "purchased": ("pp", "xp")}
"""The names of Σ y² and Σ x·y in `cluster`, where y counts the impressions of a shopper with the mark."""
CLUSTER = ("n", "xx", "yy", "xy", "cc", "xc", "pp", "xp")


class Tally:
    """The counts of a span by segment. `robots`: robots are counted like people."""

    def __init__(self, kinds: Collection[str], segments: Segments, *, robots: bool = False) -> None:
        self._segments = segments
        self._parts = {kind: _Part(robots=robots) for kind in checked(kinds)}

    def add(self, rows: Shown, window: TimeWindow) -> None:
        """Add the lists of a piece that were served in the window."""
        lists = rows.within(window)
        if lists.start == lists.stop:
            return
        single = rows.rows_of(lists)
        bought = np.flatnonzero((rows.credits.row >= single.start) & (rows.credits.row < single.stop))
        for kind, part in self._parts.items():
            chosen, units = (single, rows.by_row) if kind in ROW_KINDS else (lists, rows.by_list)
            segments = self._segments.of(kind, rows, chosen)
            part.add(units.part(chosen), segments)
            unit = rows.credits.row[bought] if kind in ROW_KINDS else rows.of_list[rows.credits.row[bought]]
            part.add_credits(rows, bought, segments[unit - chosen.start])

    def fields(self) -> dict[str, dict[str, Any]]:
        """Return the fields of `Counts` of every segment that has lists, and of `all` without fields if it has none."""
        found: dict[str, dict[str, Any]] = {ALL: {}}
        for kind, part in self._parts.items():
            found |= {self._segments.name(kind, code): fields for code, fields in part.fields().items()}
        return found


class _Part:
    """The sums of one kind of segment."""

    def __init__(self, *, robots: bool) -> None:
        self._robots = robots
        self._shoppers = Clusters()
        self._single: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._orders: dict[int, set[tuple[int, str]]] = defaultdict(set)
        self._money: dict[tuple[int, bool], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, units: Units, segments: IntArray) -> None:
        people = (segments >= 0) & (self._robots | ~units.robot)
        shown = people & (units.shown > 0)
        columns = [units.shown, *(getattr(units, mark) for mark in MARKS)]
        self._shoppers.add(segments[shown], units.person[shown], [column[shown] for column in columns])
        lists = int(units.of_list.max()) + 1
        for name, chosen in (("known", people), ("lists", shown), ("vouched", people & (units.vouched > 0))):
            self._add_single(name, distinct(segments[chosen] * lists + units.of_list[chosen]) // lists)
        robots = (segments >= 0) & units.robot
        self._add_single("robot_impressions", np.repeat(segments[robots], units.shown[robots]))
        self._add_single("robot_clicks", np.repeat(segments[robots], units.clicked[robots]))

    def _add_single(self, name: str, segments: IntArray) -> None:
        for code, number in _sizes(segments):
            self._single[code][name] += number

    def add_credits(self, rows: Shown, chosen: IntArray, segments: IntArray) -> None:
        """Add the orders and the money of the chosen credits. `segments` are those of their impressions."""
        credits = rows.credits
        row = credits.row[chosen]
        wanted = (segments >= 0) & rows.shown[row] & (self._robots | ~rows.robot[rows.of_list[row]])
        for index, segment in zip(chosen[wanted].tolist(), segments[wanted].tolist(), strict=True):
            revenue, bought = float(credits.revenue[index]), bool(credits.event_type[index] == PURCHASE)
            if bought:
                person = rows.person[rows.of_list[credits.row[index]]]
                self._orders[segment].add((int(person), credits.order[index]))
            if not math.isnan(revenue) and (bought or credits.event_type[index] not in CLICK_TYPES):
                self._money[segment, bought][credits.currency[index]].append(abs(revenue))

    def fields(self) -> dict[int, dict[str, Any]]:
        by_segment = self._by_segment()
        found = {}
        for segment in sorted(self._single.keys() | by_segment.keys()):
            single = self._single[segment]
            sums = by_segment.get(segment, {})
            found[segment] = {
                "lists": single["lists"],
                "fetched": single["known"] - single["lists"],
                "shown_by_event": single["lists"] - single["vouched"],
                "impressions": sums.get("x", 0),
                "viewers": sums.get("n", 0),
                "clicks": sums.get("clicked", 0),
                "carts": sums.get("carted", 0),
                "purchases": sums.get("purchased", 0),
                "orders": len(self._orders.get(segment, ())),
                "revenue": _added(self._money.get((segment, True), {})),
                "refunds": _added(self._money.get((segment, False), {})),
                "robot_impressions": single["robot_impressions"],
                "robot_clicks": single["robot_clicks"],
                "cluster": cluster(sums),
            }
        return found

    def _by_segment(self) -> dict[int, dict[str, int]]:
        if not self._shoppers:
            return {}
        segments, _, (x, *marks) = self._shoppers.sums()
        starts = run_starts(segments)
        sums = {"n": np.ones_like(x), "x": x, "xx": x * x}
        for mark, y in zip(MARKS, marks, strict=True):
            squared, product = SUMS[mark]
            sums |= {mark: y, squared: y * y, product: x * y}
        added = {name: np.add.reduceat(values, starts) for name, values in sums.items()}
        return {
            int(segment): {name: int(values[index]) for name, values in added.items()}
            for index, segment in enumerate(segments[starts])
        }


def cluster(sums: Mapping[str, int]) -> dict[str, int]:
    """Return the sums of `CLUSTER`; those that are missing are 0."""
    return {name: sums.get(name, 0) for name in CLUSTER}


def _added(amounts: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {currency: math.fsum(values) for currency, values in sorted(amounts.items())}


def _sizes(segments: IntArray) -> Iterable[tuple[int, int]]:
    """Return (segment, how many) of each segment."""
    ordered = np.sort(segments)
    starts = run_starts(ordered)
    return zip(ordered[starts].tolist(), np.diff(starts, append=len(ordered)).tolist(), strict=True)
