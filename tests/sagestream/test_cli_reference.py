"""The reference of the command line: whole, and in words that say what each option takes."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
import typer.main

from sagestream.cli import app
from sagestream.cli_reference import EXITS, PAGE, reference, verbs, write

ROOT = Path(__file__).parents[2]


def commands(group: Any, prefix: str = "") -> set[str]:
    """The verbs as Typer itself has them."""
    found: set[str] = set()
    for name, child in group.commands.items():
        found |= commands(child, f"{prefix}{name} ") if hasattr(child, "commands") else {prefix + name}
    return found


def test_the_page_is_what_the_code_says(tmp_path: Path) -> None:
    (tmp_path / PAGE).parent.mkdir()
    write(tmp_path)
    assert (ROOT / PAGE).read_text() == (tmp_path / PAGE).read_text(), "run `make docs`"


def test_every_verb_is_there_and_has_help() -> None:
    found = dict(verbs(app))
    assert set(found) == commands(typer.main.get_command(app))
    assert set(EXITS) <= set(found)
    for name, function in found.items():
        assert function.__doc__, name


@pytest.mark.parametrize("name", sorted(commands(typer.main.get_command(app))))
def test_every_option_of_typer_stands_in_the_section(name: str) -> None:
    command: Any = typer.main.get_command(app)
    for word in name.split():
        command = command.commands[word]
    section = (ROOT / PAGE).read_text().split(f"\n## `sagestream {name}`\n")[1].partition("\n## ")[0]
    for parameter in command.params:
        shown = parameter.name.upper() if parameter.param_type_name == "argument" else " ".join(parameter.opts)
        row = next(line for line in section.splitlines() if line.startswith(f"| `{shown}` |"))
        assert ("must be given" in row) == parameter.required, row


toy = typer.Typer()
inner = typer.Typer()
toy.add_typer(inner, name="inner")


@toy.command()
def outer(
    count: Annotated[int, typer.Option(min=1, max=9, help="How many.")] = 3,
    kind: Annotated[Literal["a", "b"], typer.Option("--sort", "-s", help="Which | one.")] = "a",
    loud: Annotated[bool, typer.Option("--loud", help="Aloud.")] = False,
    share: Annotated[float | None, typer.Option(min=0, help="Of <all>.", show_default=False)] = None,
    files: Annotated[list[Path] | None, typer.Argument(help="Files.")] = None,
) -> None:
    """Say it.

    Twice.
    """


@inner.command("deep")
def deep_verb(user: Annotated[str, typer.Argument(help="Who.")]) -> None:
    """Look."""


def test_what_each_kind_of_parameter_takes() -> None:
    page = reference(toy)
    for line in (
        "| [`outer`](#sagestream-outer) | Say it. |",
        "sagestream outer [FILES…] [OPTIONS]",
        "| `FILES` | path, any number |  | Files. |",
        "| `--count` | whole number, 1 to 9 | `3` | How many. |",
        "| `--sort -s` | `a`, `b` | `a` | Which \\| one. |",
        "| `--loud` | nothing |  | Aloud. |",
        "| `--share` | number, at least 0 |  | Of \\<all>. |",
        "## `sagestream inner deep`",
        "sagestream inner deep USER",
        "| `USER` | text | must be given | Who. |",
    ):
        assert line in page.splitlines(), line
    assert "Say it.\n\nTwice.\n" in page
