"""Blocks: what a page of the dashboard is made of. Every figure says its window and its n.

Arrives: nothing; these are values. Leaves: JSON in Redis (`serving.dashboard.store`). The monitor composes pages from
SQL; the web process draws them and knows nothing of their subjects.
"""

from typing import Literal

import msgspec

Unit = Literal["text", "count", "share", "money", "seconds", "number", "time"]
"""How a value is written. `share` is 0..1, shown in percent; `time` is epoch ms; `money` has a currency beside it."""

State = Literal["ok", "warn", "bad", "none"]
"""The judgement of a figure. `none`: nothing is judged."""

MarkKind = Literal["promotion", "rollback", "experiment", "alarm", "retrain"]


class Block(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """Base of all blocks. `note` explains the block in one or two sentences."""

    title: str
    note: str = ""


class Tile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure at a glance. `value` None: there was nothing to measure, and `note` says why.

    `low` and `high` are the ends of the 95 % interval. `n` is the number of `n_of` (impressions, orders). `change` is
    the difference from the window before, in words, with its interval. `href` leads to what is behind the figure.
    """

    label: str
    value: str | float | None
    unit: Unit = "text"
    currency: str = ""
    low: float | None = None
    high: float | None = None
    n: int | None = None
    n_of: str = ""
    window: str = ""
    change: str = ""
    state: State = "none"
    note: str = ""
    href: str = ""


class Tiles(Block, frozen=True, kw_only=True, tag="tiles"):
    """Figures beside each other."""

    tiles: list[Tile]


class Point(msgspec.Struct, frozen=True, array_like=True):
    """A value of a line. `at` is epoch ms, or an index into `Chart.labels`."""

    at: int
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line, or one row of bars."""

    name: str
    points: list[Point]


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened at `at` (epoch ms), drawn across a chart over time."""

    at: int
    kind: MarkKind
    label: str


class Chart(Block, frozen=True, kw_only=True, tag="chart"):
    """Lines over time, or bars over `labels` (positions, slots, columns). `window` and `n` are said below it."""

    form: Literal["lines", "bars"] = "lines"
    unit: Unit = "number"
    currency: str = ""
    lines: list[Line]
    labels: list[str] = []
    marks: list[Mark] = []
    window: str = ""
    n: int | None = None
    n_of: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step of a funnel: how many came so far."""

    name: str
    count: int


class Funnel(Block, frozen=True, kw_only=True, tag="funnel"):
    """From what was shown to what was bought; each step is a part of the one before."""

    steps: list[Step]
    window: str = ""


class Cell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cell of a table that needs more than its column says."""

    value: str | float | None
    low: float | None = None
    high: float | None = None
    href: str = ""
    state: State = "none"
    title: str = ""


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A column of a table."""

    name: str
    unit: Unit = "text"
    currency: str = ""
    note: str = ""


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a row lets the operator ask for: the kind of the errand and its subject."""

    errand: str
    subject: str
    label: str


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of a table, a cell for each column, and what may be asked for."""

    cells: list[Cell | str | float | None]
    actions: list[Action] = []


class Rows(Block, frozen=True, kw_only=True, tag="rows"):
    """A table. `empty` is said when it has no row."""

    columns: list[Column]
    rows: list[Row]
    window: str = ""
    empty: str = ""


AnyBlock = Tiles | Chart | Funnel | Rows


class Page(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page: its blocks from top to bottom. `made_at` is epoch ms. `name` is its place in the URL."""

    name: str
    title: str
    made_at: int
    blocks: list[AnyBlock]
    warnings: list[str] = []
    """What is wrong now, worst first; shown above the blocks."""
