"""Shop report: the figures of a span, the differences of two spans or two segments, and what to be careful about.

Arrives: `shop_metrics` of one or two spans. Leaves: lines, one for each figure and each difference, and warnings. Next:
`sagestream report` prints them or writes them to a file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from monitoring.counts import Counts
from monitoring.measures import Measure
from monitoring.segments import SEGMENT_KINDS, TIME_KINDS
from monitoring.shop_metrics import ShopMetrics, measure
from monitoring.windows import ALL, TimeWindow, segment_name

PREVIOUS = "previous"
"""Compares with the span of the same length that ends where the span begins."""
BY = (*SEGMENT_KINDS, *TIME_KINDS)


class NoSuchSegments(ValueError):
    """What was to be compared is not in the data."""


@dataclass(frozen=True)
class Line:
    """A figure, or the difference of two figures. `value` is None when there was nothing to measure.

    `low` and `high` are the ends of the 95 % interval. They are None for counts, which are exact, and where no interval
    is known. `n` is what the value was divided by. A difference has the two values that it is made of.
    """

    segment: str
    metric: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    first: float | None = None
    second: float | None = None


@dataclass(frozen=True)
class ShopReport:
    """What a report says."""

    metrics: ShopMetrics
    figures: list[Line]
    compared: str
    """Of what the differences are, in words; "" without any."""
    differences: list[Line]
    """Of ratios alone: a difference of counts has no interval."""
    warnings: list[str]


def shop_report(
    connection: Connection, span: TimeWindow, *, by: str | None = None, compare: str | None = None, now: int
) -> ShopReport:
    """Return the report of a span.

    Args:
        connection: a transaction that shows one state of the data (`graphstore.session.read`). Nothing is written.
        span: any start and end.
        by: one of `BY`; None divides only the counts and their rates.
        compare: `PREVIOUS`, or `A,B`: two values of what `by` divides by. Raises `NoSuchSegments` when they are not
            there.
        now: the current time, epoch ms.
    """
    metrics = measure(connection, span, by=by, now=now)
    figures = [line for segment, found in metrics.measures.items() for line in _figures(segment, found)]
    compared, differences = "", list[Line]()
    if compare == PREVIOUS:
        earlier = TimeWindow(span.start - (span.end - span.start), span.start)
        before = measure(connection, earlier, by=by, now=now)
        compared = "this span minus the span before it"
        differences = [
            line
            for segment, found in metrics.measures.items()
            if segment in before.measures
            for line in _differences(segment, found, before.measures[segment])
        ]
    elif compare is not None:
        one, other = _segments(compare, by, metrics.measures)
        compared = f"{one} minus {other}"
        differences = list(_differences(compared, metrics.measures[one], metrics.measures[other]))
    return ShopReport(metrics, figures, compared, differences, list(warnings(metrics.counts[ALL])))


def warnings(counts: Counts) -> Iterator[str]:
    """Yield what makes the rates of these counts wrong or unsure, in words."""
    if counts.fetched and not counts.lists:
        yield (
            f"{counts.fetched:,} lists were fetched and none was shown, as far as the shop tells: there are no rates. "
            "Send what the page shows (docs/events.md)."
        )
    if 2 * counts.shown_by_event > counts.lists:
        yield (
            f"{counts.shown_by_event:,} of {counts.lists:,} shown lists were proved only by a click on them. Lists "
            "without a click are missing, so the rates are too high. Send what the page shows (docs/events.md)."
        )
    if counts.robot_impressions > counts.impressions:
        yield f"robots saw {counts.robot_impressions:,} items, people {counts.impressions:,}: the rates are of people"
    if "" in counts.revenue and len(counts.revenue) > 1:
        yield "some purchases name no currency; their revenue stands apart"


def _figures(segment: str, measures: Sequence[Measure]) -> Iterator[Line]:
    for found in measures:
        rate = found.rate()
        yield Line(segment, found.name, found.unit, rate.value, rate.low, rate.high, rate.n)


def _differences(segment: str, one: Sequence[Measure], other: Sequence[Measure]) -> Iterator[Line]:
    theirs = {(found.name, found.unit): found for found in other}
    for found in one:
        second = theirs.get((found.name, found.unit))
        apart = None if second is None else found.minus(second)
        if second is not None and apart is not None:
            values = (found.rate().value, second.rate().value)
            yield Line(segment, found.name, found.unit, apart.value, apart.low, apart.high, apart.n, *values)


def _segments(compare: str, by: str | None, known: Mapping[str, object]) -> tuple[str, str]:
    """Return the names of two segments. Their values may hold commas, so each comma may be the one between them."""
    if by is None:
        raise NoSuchSegments("two segments are compared with --by: it says of what kind they are")
    for place, letter in enumerate(compare):
        if letter == ",":
            pair = segment_name(by, compare[:place].strip()), segment_name(by, compare[place + 1 :].strip())
            if pair[0] in known and pair[1] in known:
                return pair
    names = ", ".join(name.partition(":")[2] for name in known if name.startswith(f"{by}:"))
    raise NoSuchSegments(f"{compare!r} is neither {PREVIOUS!r} nor two of: {names or 'nothing, the span is empty'}")
