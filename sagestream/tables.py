"""Tables: fit a table to a narrow terminal without breaking words.

Arrives: a Rich table. Leaves: the same table, with each column at least as wide as its longest word. If the table does
not fit, each row becomes a block of `heading: value`. Next: the verbs print it.
"""

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleRenderable, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

CELL_FRAME = 3
"""The extra width of each column: its padding and the line after it."""
INDENT = 4
BETWEEN = " · "


def print_table(console: Console, table: Table) -> None:
    """Print the table, fitted to the width of the console. The title above it may use the whole width."""
    console.print(fitted(table, console), soft_wrap=False)


def fitted(table: Table, console: Console) -> ConsoleRenderable:
    """Return the fitted table for this console. The table itself changes: it gets widths and loses its title."""
    parts: list[RenderableType] = [] if table.title is None else [_text(table.title, console, "italic")]
    table.title = None
    measured = [_measured(column, console) for column in table.columns]
    room = console.width - 1 - CELL_FRAME * len(measured)
    if sum(least for least, _ in measured) > room:
        return Group(*parts, *_blocks(table, console))
    for column, width in zip(table.columns, _widths(measured, room), strict=True):
        column.width = width
    return Group(*parts, table)


def _measured(column: Column, console: Console) -> tuple[int, int]:
    """Return the widths of the longest word and the longest cell, including the heading."""
    found = [Measurement.get(console, console.options, _text(cell, console)) for cell in (column.header, *column.cells)]
    return max(one.minimum for one in found), max(one.maximum for one in found)


def _widths(measured: Sequence[tuple[int, int]], room: int) -> list[int]:
    """Give each column its longest word, then divide the rest of `room`; columns that need the least come first."""
    widths = [least for least, _ in measured]
    left = room - sum(widths)
    wanting = sorted(range(len(measured)), key=lambda place: measured[place][1] - measured[place][0])
    for done, place in enumerate(wanting):
        least, most = measured[place]
        more = min(most - least, left // (len(wanting) - done))
        widths[place] += more
        left -= more
    return widths


def _blocks(table: Table, console: Console) -> Iterator[RenderableType]:
    """Yield each row as a block: the first cell as a heading, the other cells (if not empty) below it."""
    headings = [_text(column.header, console).plain for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        first, *others = (_text(cell, console) for cell in row)
        first.stylize("bold")
        yield first
        said = [
            Text.assemble((f"{heading}: " if heading else "", "dim"), cell)
            for heading, cell in zip(headings[1:], others, strict=True)
            if cell.plain
        ]
        yield Padding(Text(BETWEEN).join(said), (0, 0, 0, INDENT))


def _text(cell: RenderableType, console: Console, style: str = "") -> Text:
    return cell if isinstance(cell, Text) else console.render_str(str(cell), style=style)
