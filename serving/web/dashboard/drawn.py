"""Drawn: each block of a page, ready for its template: all values are text, and what was not measured is a dash.

Arrives: the blocks of `serving.dashboard.blocks`. Leaves: values with the name of their template. Next: the templates
`dashboard/tiles.html`, `lines.html`, `bars.html`, `funnel.html` and `rows.html`.

A chart over labels is a table with a bar in each row, so it reads the same on paper, on a telephone and aloud. A chart
over time has its table below it, or on a page of its own when it is long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from serving.dashboard.blocks import (
    Action,
    AnyBlock,
    Cell,
    Chart,
    Column,
    Funnel,
    Line,
    Row,
    Rows,
    State,
    Tile,
    Tiles,
    Unit,
)
from serving.web.dashboard.charts import COLOURS, Drawing, draw
from serving.web.dashboard.written import DASH, between, moment, written

ROWS_INSIDE = 40
"""A chart of more times than that has its table on a page of its own: it would be most of the page."""

MISSING = f'<span class="dash" aria-label="not measured">{DASH}</span>'

NAME_TEXT = 24
"""Characters: a longer text is prose, a shorter one without a blank is a name."""
LONG_TEXT = 8
"""Characters that fit a tile in large letters."""

STATE_WORDS: dict[State, str] = {"ok": "good", "warn": "look at it", "bad": "bad", "none": ""}

LinkCheck = Callable[[str], bool]
"""Whether a link leads somewhere in this web process."""


@dataclass(frozen=True)
class DrawnFigure:
    """A value with what it must say beside it. `missing`: nothing was measured."""

    text: str
    interval: str = ""
    n: str = ""
    href: str = ""
    state: State = "none"
    title: str = ""
    kind: Literal["", "number", "time"] = ""

    @property
    def missing(self) -> bool:
        """Whether it is a dash."""
        return self.text == DASH

    @property
    def long(self) -> bool:
        """Whether a tile must write it smaller."""
        return len(self.text) > LONG_TEXT

    @property
    def layout(self) -> str:
        """How its cell is laid out: numbers, times and names stay on one line, long text gets room on telephones."""
        if self.kind:
            return self.kind
        if len(self.text) > NAME_TEXT:
            return "prose"
        return "" if " " in self.text else "name"

    @property
    def html(self) -> SafeString:
        """The value as HTML, all texts escaped. A template would take 0.2 ms, and a long table has 4,000 of them."""
        title = f' title="{escape(self.title)}"' if self.title else ""
        if self.missing:
            parts = [MISSING]
        elif self.href:
            parts = [f'<a href="{escape(self.href)}"{title}>{escape(self.text)}</a>']
        else:
            parts = [f"<span{title}>{escape(self.text)}</span>"]
        parts += [f' <span class="state">{self.word}</span>'] if self.word else []
        parts += [f"<small>{escape(part)}</small>" for part in (self.interval, self.n) if part]
        return mark_safe("".join(parts))  # each text above is escaped

    @property
    def word(self) -> str:
        """The state in words, because a colour alone says nothing to many."""
        return STATE_WORDS[self.state]


@dataclass(frozen=True)
class DrawnTile:
    """A tile."""

    label: str
    figure: DrawnFigure
    window: str
    change: str
    note: str


@dataclass(frozen=True)
class DrawnRow:
    """A row of a table."""

    cells: list[DrawnFigure]
    actions: Sequence[Action] = ()


@dataclass(frozen=True)
class DrawnBar:
    """A bar of a chart over labels. Places are in percent of the widest end; `whisker` is the interval."""

    label: str
    line: str
    style: str
    figure: DrawnFigure
    left: str
    width: str
    whisker: tuple[str, str] | None


@dataclass(frozen=True, kw_only=True)
class DrawnBlock:
    """Base: what every block shows. `number` is its place in the page, and makes its ids."""

    template: ClassVar[str]
    number: int
    title: str
    note: str
    window: str = ""
    n: str = ""


@dataclass(frozen=True, kw_only=True)
class DrawnTiles(DrawnBlock):
    """Figures beside each other."""

    template = "dashboard/tiles.html"
    tiles: list[DrawnTile]


@dataclass(frozen=True, kw_only=True)
class DrawnTable(DrawnBlock):
    """A table."""

    template = "dashboard/rows.html"
    columns: list[Column]
    rows: list[DrawnRow]
    empty: str

    @property
    def acts(self) -> bool:
        """Whether a row has something to ask for."""
        return any(row.actions for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class DrawnLines(DrawnBlock):
    """A chart over time. `table` is None when it is long: then it has a page of its own."""

    template = "dashboard/lines.html"
    drawing: Drawing | None
    table: DrawnTable | None
    times: int


@dataclass(frozen=True, kw_only=True)
class DrawnBars(DrawnBlock):
    """A chart over labels, and a funnel."""

    template = "dashboard/bars.html"
    label: str
    several: bool
    bars: list[DrawnBar] = field(default_factory=list)


def drawn(block: AnyBlock, number: int, leads: LinkCheck) -> DrawnBlock:
    """Return the block for its template."""
    if isinstance(block, Tiles):
        tiles = [_tile(tile, leads) for tile in block.tiles]
        return DrawnTiles(number=number, title=block.title, note=block.note, tiles=tiles)
    if isinstance(block, Funnel):
        return _funnel(block, number)
    if isinstance(block, Rows):
        return _rows(block, number, leads)
    return _bars(block, number) if block.labels else _lines(block, number)


def chart_table(chart: Chart, number: int) -> DrawnTable:
    """Return the figures of a chart over time as a table, the newest first."""
    columns = [Column(name="time (UTC)")]
    by_time: dict[int, list[DrawnFigure]] = {}
    blank = [DrawnFigure(DASH, kind="number")] * len(chart.lines)
    for place, line in enumerate(chart.lines):
        columns.append(Column(name=line.name, unit=chart.unit, currency=chart.currency))
        for point in line.points:
            figure = _figure(point.value, point.low, point.high, chart.unit, chart.currency, _count(point.n, ""))
            by_time.setdefault(point.at, [*blank])[place] = figure
    rows = [DrawnRow([DrawnFigure(moment(at), kind="time"), *by_time[at]]) for at in sorted(by_time, reverse=True)]
    return DrawnTable(
        number=number,
        title=chart.title,
        note=chart.note,
        window=chart.window,
        n=_count(chart.n, chart.n_of),
        columns=columns,
        rows=rows,
        empty="nothing was measured",
    )


def _lines(chart: Chart, number: int) -> DrawnLines:
    times = len({point.at for line in chart.lines for point in line.points})
    return DrawnLines(
        number=number,
        title=chart.title,
        note=chart.note,
        window=chart.window,
        n=_count(chart.n, chart.n_of),
        drawing=draw(chart),
        table=chart_table(chart, number) if times <= ROWS_INSIDE else None,
        times=times,
    )


def _bars(chart: Chart, number: int) -> DrawnBars:
    """Return a bar for each label and line. Points that are at no label are left out."""
    ends = [
        end
        for line in chart.lines
        for point in line.points
        for end in (point.value, point.low, point.high)
        if end is not None
    ]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    scale = 100.0 / ((high - low) or 1.0)
    points = [{point.at: point for point in line.points} for line in chart.lines]
    bars = []
    for at, label in enumerate(chart.labels):
        for place, line in enumerate(chart.lines):
            point = points[place].get(at)
            if point is None:
                continue
            figure = _figure(point.value, point.low, point.high, chart.unit, chart.currency, _count(point.n, ""))
            value = point.value or 0.0
            whisker = None
            if point.low is not None and point.high is not None:
                whisker = (_percent((point.low - low) * scale), _percent((point.high - low) * scale))
            left = _percent((min(value, 0.0) - low) * scale)
            bars.append(_bar(label, line, place, figure, left, _percent(abs(value) * scale), whisker))
    return DrawnBars(
        number=number,
        title=chart.title,
        note=chart.note,
        window=chart.window,
        n=_count(chart.n, chart.n_of),
        label="",
        several=len(chart.lines) > 1,
        bars=bars,
    )


def _bar(
    label: str, line: Line, place: int, figure: DrawnFigure, left: str, width: str, whisker: tuple[str, str] | None
) -> DrawnBar:
    return DrawnBar(label, line.name, f"bar c{place % COLOURS}", figure, left, width, whisker)


def _funnel(funnel: Funnel, number: int) -> DrawnBars:
    """Return a bar for each step, with its share of the first step and of the step before."""
    first = funnel.steps[0].count if funnel.steps else 0
    bars: list[DrawnBar] = []
    before = None
    for step in funnel.steps:
        share = step.count / first if first else 0.0
        parts: list[str] = []
        if before is not None and before.count:
            parts.append(f"{written(step.count / before.count, 'share')} of {before.name}")
        if before is not None and before is not funnel.steps[0] and first:
            parts.append(f"{written(share, 'share')} of {funnel.steps[0].name}")
        figure = DrawnFigure(written(step.count, "count"), interval=", ".join(parts), kind="number")
        bars.append(DrawnBar(step.name, "", "bar c0", figure, "0%", _percent(100 * min(share, 1.0)), None))
        before = step
    return DrawnBars(
        number=number,
        title=funnel.title,
        note=funnel.note,
        window=funnel.window,
        n=_count(first or None, funnel.steps[0].name if funnel.steps else ""),
        label="step",
        several=False,
        bars=bars,
    )


def _rows(block: Rows, number: int, leads: LinkCheck) -> DrawnTable:
    rows = [DrawnRow(_cells(block.columns, row, leads), row.actions) for row in block.rows]
    return DrawnTable(
        number=number,
        title=block.title,
        note=block.note,
        window=block.window,
        columns=block.columns,
        rows=rows,
        empty=block.empty or "nothing is here",
    )


def _cells(columns: Sequence[Column], row: Row, leads: LinkCheck) -> list[DrawnFigure]:
    cells = []
    for column, given in zip(columns, row.cells, strict=False):
        cell = given if isinstance(given, Cell) else Cell(value=given)
        figure = _figure(cell.value, cell.low, cell.high, column.unit, column.currency)
        href = cell.href if _leads(cell.href, leads) else ""
        cells.append(DrawnFigure(figure.text, figure.interval, "", href, cell.state, cell.title, figure.kind))
    return cells


def _tile(tile: Tile, leads: LinkCheck) -> DrawnTile:
    figure = DrawnFigure(
        written(tile.value, tile.unit, tile.currency),
        between(tile.low, tile.high, tile.unit, tile.currency),
        _count(tile.n, tile.n_of),
        tile.href if _leads(tile.href, leads) else "",
        tile.state,
    )
    return DrawnTile(tile.label, figure, tile.window, tile.change, tile.note)


def _figure(
    value: str | float | None, low: float | None, high: float | None, unit: Unit, currency: str, n: str = ""
) -> DrawnFigure:
    kind: Literal["", "number", "time"] = "" if unit == "text" or isinstance(value, str) else "number"
    if kind and unit == "time":
        kind = "time"
    return DrawnFigure(written(value, unit, currency), between(low, high, unit, currency), n, kind=kind)


def _leads(href: str, leads: LinkCheck) -> bool:
    """Return whether the link is one of this site and leads somewhere: figures name no other sites."""
    return href.startswith("/") and not href.startswith(("//", "/\\")) and leads(href)


def _count(n: int | None, of: str) -> str:
    return "" if n is None else f"n {n:,} {of}".rstrip()


def _percent(share: float) -> str:
    return f"{share:.2f}%"
