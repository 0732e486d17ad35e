"""Charts: draws lines over time with their intervals and marks, as the parts of an SVG that fits every width.

Arrives: a `Chart` without labels. Leaves: a `Drawing`: paths in a box of 10,000 by 1,000 that the page stretches, and
texts at places in percent, so that a telephone shows the same letters as a large screen. Next:
the template `dashboard/lines.html`.

Why not a library (three were tried with 3 lines of 1,000 points, all on the server): pygal 3.1 (88 kB; it needs a
`<style>` and a `<script>` inside, which our Content-Security-Policy forbids, and draws intervals as whiskers, not as
bands), leather 0.4 (122 kB, no intervals, no marks, colours fixed in the file, so no dark page) and pysvgchart 0.8
(90 kB, a `<style>` inside, no intervals). A library for browsers would draw nothing on paper or without a script. Here
a line is one path of whole numbers relative to the point before, 5 bytes a point.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from serving.dashboard.blocks import Chart, Line, Mark, MarkKind, Point
from serving.web.dashboard.axes import Tick, ValueAxis, time_ticks, value_axis
from serving.web.dashboard.written import DASH, between, moment, written

WIDTH, HEIGHT = 10_000, 1_000
COLOURS = 6
"""The number of colours in the style sheet. Further lines take them again, with dashes."""
GAP_STEPS = 3.0
"""A hole of more than so many usual steps is not drawn over: nothing was measured there."""
BAR_WIDTH = 0.8
LETTER_WIDTH = 0.035
"""The share of the chart's width that a letter of a mark takes on a telephone."""
LETTERS: dict[MarkKind, str] = {"promotion": "P", "rollback": "R", "experiment": "E", "alarm": "!", "retrain": "T"}


@dataclass(frozen=True)
class DrawnLine:
    """A line: its paths, and its newest value in words."""

    name: str
    style: str
    """The classes of the style sheet."""
    path: str
    dots: str
    """Points with no neighbour, which a path cannot show."""
    band: str
    newest: str
    interval: str
    n: str
    when: str
    bars: bool


@dataclass(frozen=True)
class DrawnMark:
    """A mark: its place, its letter, and what happened when."""

    tick: Tick
    kind: MarkKind
    letter: str
    """Empty where it would stand upon the letter before."""
    label: str
    when: str

    @property
    def x(self) -> int:
        """The place in the box."""
        return round(WIDTH * self.tick.place)


@dataclass(frozen=True)
class Drawing:
    """A chart over time, ready for the template."""

    lines: list[DrawnLine]
    marks: list[DrawnMark]
    values: list[Tick]
    times: list[Tick]
    zero: bool
    """Whether the axis of values begins at 0. If not, the page says so."""
    summary: str
    """For who does not see it."""


def draw(chart: Chart) -> Drawing | None:
    """Return the parts of the chart; None when no point has a value."""
    ends = [
        end
        for line in chart.lines
        for point in line.points
        if point.value is not None
        for end in (point.value, point.low, point.high)
        if end is not None
    ]
    if not ends:
        return None
    if chart.form == "bars":
        ends.append(0.0)
    times = [point.at for line in chart.lines for point in line.points]
    start, end = min(times), max(times)
    if chart.form == "bars":  # half a bar stands on each side of its time
        half = (end - start) // max(1, 2 * len({*times}) - 2) or 1
        start, end = start - half, end + half
    axis = value_axis(min(ends), max(ends), chart.unit)
    box = _Box(start, end, axis)
    lines = [_line(chart, line, number, box) for number, line in enumerate(chart.lines)]
    marks = _marks(chart.marks, box)
    ticks = time_ticks(start, end)
    return Drawing(lines, marks, axis.ticks, ticks, axis.low <= 0 <= axis.high, _summary(chart, start, end))


@dataclass(frozen=True)
class _Box:
    """Where a time and a value are in the box."""

    start: int
    end: int
    axis: ValueAxis

    def across(self, at: int) -> float:
        return (at - self.start) / (self.end - self.start) if self.end > self.start else 0.5

    def x(self, at: int) -> int:
        return round(WIDTH * self.across(at))

    def y(self, value: float) -> int:
        return round(HEIGHT * (1 - self.axis.place(value)))


def _marks(marks: Sequence[Mark], box: _Box) -> list[DrawnMark]:
    """Return the marks between the ends of the chart, the oldest first."""
    found: list[DrawnMark] = []
    free = 0.0
    for mark in sorted(marks, key=lambda mark: mark.at):
        if not box.start <= mark.at <= box.end:
            continue
        place = box.across(mark.at)
        letter = LETTERS[mark.kind] if place >= free else ""
        free = place + LETTER_WIDTH if letter else free
        found.append(DrawnMark(Tick(place, ""), mark.kind, letter, mark.label, moment(mark.at)))
    return found


def _line(chart: Chart, line: Line, number: int, box: _Box) -> DrawnLine:
    points = sorted(line.points, key=lambda point: point.at)
    style = f"series c{number % COLOURS} d{number // COLOURS}"
    last = next((point for point in reversed(points) if point.value is not None), None)
    path, dots, band = "", "", ""
    if chart.form == "bars":
        path, style = _bars(points, number, len(chart.lines), box), f"{style} bars"
    else:
        for run in _runs(points):
            band += _band(run, box)
            if len(run) == 1:
                dots += f"M{box.x(run[0].at)} {box.y(run[0].value or 0.0)}h0"
            else:
                path += _path([(box.x(point.at), box.y(point.value or 0.0)) for point in run])
    return DrawnLine(
        name=line.name,
        style=style,
        path=path,
        dots=dots,
        band=band,
        newest=DASH if last is None else written(last.value, chart.unit, chart.currency),
        interval="" if last is None else between(last.low, last.high, chart.unit, chart.currency),
        n="" if last is None or last.n is None else f"{last.n:,}",
        when="" if last is None else moment(last.at),
        bars=chart.form == "bars",
    )


def _runs(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Yield the points with a value that follow each other without a hole."""
    steps = sorted(after.at - before.at for before, after in pairwise(points))
    longest = GAP_STEPS * steps[len(steps) // 2] if steps else 0.0
    run: list[Point] = []
    for point in points:
        if run and (point.value is None or point.at - run[-1].at > longest):
            yield run
            run = []
        if point.value is not None:
            run.append(point)
    if run:
        yield run


def _path(corners: Sequence[tuple[int, int]]) -> str:
    """Return an SVG path through the corners, each relative to the one before."""
    (x, y), *rest = corners
    parts = [f"M{x} {y}l"]
    for to_x, to_y in rest:
        parts.append(f"{to_x - x} {to_y - y} ")
        x, y = to_x, to_y
    return "".join(parts).rstrip()


def _band(run: Sequence[Point], box: _Box) -> str:
    """Return the area between the ends of the intervals; empty when a point has none."""
    ends = [(box.x(point.at), point.low, point.high) for point in run]
    above = [(x, box.y(high)) for x, _, high in ends if high is not None]
    below = [(x, box.y(low)) for x, low, _ in ends if low is not None]
    if len(above) < len(run) or len(below) < len(run) or len(run) < 2:
        return ""
    return _path([*above, *reversed(below)]) + "z"


def _bars(points: Sequence[Point], number: int, lines: int, box: _Box) -> str:
    """Return a bar for each point; bars of several lines stand beside each other."""
    slot = WIDTH / max(1, len({point.at for point in points}))
    width = slot * BAR_WIDTH / lines
    zero = box.y(0.0)
    bars = []
    for point in points:
        if point.value is None:
            continue
        left = round(box.x(point.at) - slot * BAR_WIDTH / 2 + number * width)
        bars.append(f"M{left} {zero}V{box.y(point.value)}h{max(1, round(width))}V{zero}z")
    return "".join(bars)


def _summary(chart: Chart, start: int, end: int) -> str:
    """Return what the lines show in words: from when to when, and lowest, highest and newest value of each."""
    parts = [f"{chart.title}, {moment(start)} to {moment(end)}."]
    for line in chart.lines:
        values = [point.value for point in line.points if point.value is not None]
        if not values:
            parts.append(f"{line.name}: nothing measured.")
            continue
        low, high, last = (
            written(value, chart.unit, chart.currency) for value in (min(values), max(values), values[-1])
        )
        parts.append(f"{line.name}: lowest {low}, highest {high}, newest {last}.")
    return " ".join(parts)
