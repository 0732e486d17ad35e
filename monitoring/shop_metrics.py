"""Shop metrics: every figure of a span, for all lists together and for each segment of one kind.

Arrives: a span. Leaves: `ShopMetrics`: counts, rates, money, assortment, return and list age of each segment, and the
freshness of the data. Next: `shop_report` compares two of them, `sagestream report` prints them.

The impressions are read once. `counts` has the figures that are stored; here are all others, which are measured when
somebody asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from graphstore.arrays import Float64Array, IntArray
from monitoring.assortment import Assortment, Catalogue
from monitoring.clusters import Clusters
from monitoring.counts import Counts
from monitoring.measures import Measure
from monitoring.money import Money
from monitoring.names import Vocabulary
from monitoring.position_bias import POSITIONS, Examination, Looks
from monitoring.returning import Returning, after
from monitoring.segments import SEGMENT_KINDS, Segments, model_kinds
from monitoring.shown import Shown, read_shown
from monitoring.tally import Tally
from monitoring.timeliness import Promoted, freshness, lag, quantiles
from monitoring.windows import ALL, TimeWindow

COUNTED = {
    "lists": "lists",
    "fetched": "lists",
    "shown_by_event": "lists",
    "impressions": "impressions",
    "viewers": "shoppers",
    "clicks": "impressions",
    "carts": "impressions",
    "purchases": "impressions",
    "orders": "orders",
    "robot_impressions": "impressions",
    "robot_clicks": "impressions",
}
"""The counts of `monitoring.counts` that are figures of their own, with what they count."""


@dataclass(frozen=True)
class ShopMetrics:
    """The figures of a span."""

    span: TimeWindow
    counts: dict[str, Counts]
    """By segment, `all` first."""
    measures: dict[str, list[Measure]]
    """By segment, `all` first."""
    examination: Examination | None
    """How the rates without position bias were made; None: there are too few clicks for them."""


def measure(connection: Connection, span: TimeWindow, *, by: str | None, now: int) -> ShopMetrics:
    """Return the figures of a span. Nothing is written.

    Args:
        connection: a transaction that shows one state of the data (`graphstore.session.read`).
        span: any start and end.
        by: what to divide by, of `segments.SEGMENT_KINDS` and `segments.TIME_KINDS`. Raises `ValueError` for others.
            None: the counts and their rates are divided by all of `SEGMENT_KINDS`, the other figures by nothing.
        now: the current time, epoch ms.
    """
    vocabulary = Vocabulary()
    segments = Segments(vocabulary, model_kinds(connection))
    asked = [by] if by else []
    people, everyone = (Tally(asked or SEGMENT_KINDS, segments, robots=robots) for robots in (False, True))
    catalogue, promoted = Catalogue(connection, span, vocabulary), Promoted(connection, vocabulary)
    parts = {
        kind: _Kind(Money(), Assortment(catalogue, vocabulary), Returning(now=now), promoted) for kind in (ALL, *asked)
    }
    looks = Looks()
    for rows in read_shown(connection, after(span, now=now), vocabulary, items=True):
        people.add(rows, span)
        everyone.add(rows, span)
        lists = rows.within(span)
        chosen = _shown_to_people(rows, lists)
        looks.add(rows.item[chosen], rows.position[chosen], rows.clicked[chosen], rows.propensity[chosen])
        for kind, part in parts.items():
            part.add(rows, lists, chosen, segments.of_rows(kind, rows, lists))
    examination = looks.examination()
    counts = {segment: Counts(**fields) for segment, fields in people.fields().items()}
    with_robots = {segment: Counts(**fields) for segment, fields in everyone.fields().items()}
    measures = {segment: _counted(counts[segment], with_robots[segment]) for segment in counts}
    for kind, part in parts.items():
        for code, found in part.measures(examination).items():
            measures[segments.name(kind, code)] += found
    measures[ALL] += [*freshness(connection, span), lag(connection, now=now)]
    return ShopMetrics(span, counts, measures, examination)


def _shown_to_people(rows: Shown, lists: slice) -> IntArray:
    """Return the impressions (their indices) of these lists that were shown to people."""
    single = rows.rows_of(lists)
    shown = rows.shown[single] & ~rows.robot[rows.of_list[single]]
    found: IntArray = np.flatnonzero(shown) + single.start
    return found


def _counted(counts: Counts, with_robots: Counts) -> list[Measure]:
    known = counts.detail()
    exact = [Measure.exact(name, unit, float(known[name]), known[name]) for name, unit in COUNTED.items()]
    return [
        *exact,
        Measure.share("ctr", counts.sums("clicked")),
        Measure.share("ctr_with_robots", with_robots.sums("clicked")),
        Measure.share("add_to_cart", counts.sums("carted")),
        Measure.share("conversion", counts.sums("purchased")),
        Measure.share("conversion_with_robots", with_robots.sums("purchased")),
    ]


class _Kind:
    """The figures of one kind of segment."""

    def __init__(self, money: Money, assortment: Assortment, returning: Returning, promoted: Promoted) -> None:
        self._money = money
        self._assortment = assortment
        self._returning = returning
        self._promoted = promoted
        self._clicks = Clusters()  # [1 + POSITIONS columns]: clicks, then impressions by position
        self._ages: list[tuple[IntArray, Float64Array]] = []

    def add(self, rows: Shown, lists: slice, chosen: IntArray, segment_of_row: IntArray) -> None:
        """Add the chosen impressions of the lists. `segment_of_row` is of all impressions of the lists."""
        self._returning.add_visits(rows, np.unique(rows.of_list[_shown_to_people(rows, slice(0, len(rows.person)))]))
        single = rows.rows_of(lists)
        segment = segment_of_row[chosen - single.start]
        chosen, segment = chosen[segment >= 0], segment[segment >= 0]
        of_list = rows.of_list[chosen]
        person = rows.person[of_list]
        self._money.add(segment, person, rows.purchased[chosen].astype(np.int64))
        self._assortment.add(segment, person, of_list, rows.item[chosen], rows.source[chosen])
        self._returning.add(segment, person, rows.time[of_list])
        self._add_clicks(segment, person, rows.position[chosen], rows.clicked[chosen].astype(np.float64))
        index = np.searchsorted(chosen, rows.credits.row)
        index = np.minimum(index, max(len(chosen) - 1, 0))
        credited = np.flatnonzero(chosen[index] == rows.credits.row) if len(chosen) else index[:0]
        self._money.add_credits(rows.credits, credited, segment[index[credited]], person[index[credited]])
        cells = np.unique((segment << 32) | of_list)
        of, age = cells >> 32, self._promoted.ages(rows.model, rows.time)[cells & 0xFFFFFFFF]
        self._ages.append((of[~np.isnan(age)], age[~np.isnan(age)]))

    def _add_clicks(self, segment: IntArray, person: IntArray, position: IntArray, clicked: Float64Array) -> None:
        place = np.minimum(position, POSITIONS - 1)
        self._clicks.add(segment * POSITIONS + place, person, [clicked, np.ones(len(clicked))])

    def measures(self, examination: Examination | None) -> dict[int, list[Measure]]:
        found = self._money.measures()
        for segment, measures in self._assortment.measures().items():
            found[segment] += measures
        for segment, share in self._returning.measures().items():
            found[segment].append(share)
        for segment, measure in self._debiased(examination).items():
            found[segment].append(measure)
        ages = [np.concatenate(columns) for columns in zip(*self._ages, strict=True)] if self._ages else []
        for segment in found if ages else ():
            found[segment] += quantiles("list_age", "ms", ages[1][ages[0] == segment])
        return found

    def _debiased(self, examination: Examination | None) -> dict[int, Measure]:
        if examination is None or not self._clicks:
            return {}
        cells, persons, (clicked, shown) = self._clicks.sums()
        by_person = Clusters()
        by_person.add(cells // POSITIONS, persons, [clicked, shown * examination.share[cells % POSITIONS]])
        return {
            segment: Measure.mean(f"position_debiased_ctr_{examination.how}", "share", sums)
            for segment, sums in by_person.ratios(0, 1).items()
        }


def named(measures: Sequence[Measure], name: str, unit: str | None = None) -> Measure:
    """Return the measure of this name (and unit). Raises `KeyError`."""
    for found in measures:
        if found.name == name and unit in (None, found.unit):
            return found
    raise KeyError(name)
