"""Tables on a narrow terminal: every word whole, no line too long, the row told some other way where it must be."""

import io

import pytest
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from sagestream.printable import PlainConsole
from sagestream.tables import print_table

LONG = "a title of several words, longer than the place that is left for it on any narrow terminal"
NAME = "m1764367261234-incremental"


def shown(table: Table, width: int) -> list[str]:
    file = io.StringIO()
    print_table(PlainConsole(file=file, width=width), table)
    lines = file.getvalue().splitlines()
    assert all(cell_len(line.rstrip()) <= width for line in lines)
    return lines


def whole(lines: list[str], *texts: str) -> None:
    """Every word of the texts stands whole in some line."""
    words = {word for line in lines for word in line.split()}
    assert not {word for text in texts for word in text.split()} - words


@pytest.mark.parametrize("width", [200, 80, 60])
def test_words_stay_whole_at_any_width(width: int) -> None:
    table = Table("model", "status", "verdict", title=f"models of {NAME}")
    table.add_row(NAME, "champion", Text(LONG))
    lines = shown(table, width)
    whole(lines, f"models of {NAME}", LONG, "champion", "verdict")
    assert any("│" in line for line in lines)


def test_what_does_not_fit_becomes_a_block_for_each_row() -> None:
    table = Table("model", "status", "parent", "verdict")
    table.add_row(NAME, Text("champion", "bold"), "", Text(LONG))
    table.add_row("m1", "kept", NAME, Text("[red]no markup[/red]"))
    lines = shown(table, 40)
    whole(lines, LONG, NAME, "champion", "[red]no markup[/red]")
    assert lines[0].strip() == NAME
    assert lines[1].startswith("    status: champion · verdict: a title")  # an empty cell says nothing
    assert "m1" in (line.strip() for line in lines)


def test_a_word_longer_than_the_terminal_is_the_only_one_that_is_broken() -> None:
    table = Table("item", "title")
    table.add_row("i" * 70, LONG)
    whole(shown(table, 50), LONG)


def test_room_goes_where_it_is_wanted() -> None:
    table = Table("a", "b")
    table.add_row("short", "two words")
    lines = shown(table, 80)
    assert len(lines) == 5
    assert max(cell_len(line) for line in lines) < 30
