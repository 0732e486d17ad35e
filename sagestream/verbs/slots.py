"""Slots: checks a slots file before it serves, and lists the slots that hold."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError
from sagestream.printable import PlainConsole, echo, echo_json, printable
from sagestream.tables import print_table
from serving.config import ServingConfig
from serving.slots.slot_book import SlotBook
from serving.slots.slots_file import SlotsFile, SlotsFileError, read_slots, unknown_names

LONGEST_CELL = 200

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
File = Annotated[
    Path | None,
    typer.Argument(help="The file; without it, the one of SAGESTREAM_SLOTS_FILE.", show_default=False),
]
slots_app = typer.Typer(help="Slots: what each place of the shop shows.", no_args_is_help=True)


class NoSlotsFile(UserError):
    """No file is named, neither by an argument nor by the setting."""


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    slots_app.command()(check)
    slots_app.command("list")(list_)
    app.add_typer(slots_app, name="slots")


def check(file: File = None, as_json: AsJson = False) -> None:
    """Say what is wrong with a slots file. Exit 1 when it cannot serve; warnings alone are 0."""
    path = file or ServingConfig().slots_file
    if path is None:
        raise NoSlotsFile("no file to check: give one, or set SAGESTREAM_SLOTS_FILE")
    found, problems = SlotsFile({}, []), list[str]()
    try:
        found = read_slots(path)
    except SlotsFileError as error:
        problems = error.problems
    names = [] if problems else _unknown(found)
    warnings = [*found.warnings, *(names or [])]
    if as_json:
        told = {"file": str(path), "slots": sorted(found.slots), "problems": problems, "warnings": warnings}
        echo_json(told | {"catalogue": names is not None and not problems})
    else:
        for problem in problems:
            echo(f"{path}: {problem}")
        for warning in warnings:
            echo(f"{path}: warning: {warning}")
        if not problems:
            unchecked = "" if names is not None else "; no catalogue to compare names with: `sagestream init`"
            echo(f"{path}: {len(found.slots)} slots, {', '.join(sorted(found.slots)) or 'none'}{unchecked}")
    if problems:
        raise typer.Exit(1)


def list_(as_json: AsJson = False) -> None:
    """Every slot that holds: those of the file, and the defaults."""
    slots = SlotBook.open(ServingConfig()).current()
    if as_json:
        echo_json({name: _told(slot) for name, slot in sorted(slots.items())})
        return
    table = Table("slot", "kind", "items", "fallback", "rules")
    for name, slot in sorted(slots.items()):
        rules = ", ".join(msgspec.to_builtins(slot.rules)) or "the defaults"
        cells = (name, slot.kind, str(slot.length), ", ".join(slot.fallback) or "none", rules)
        table.add_row(*(printable(cell, LONGEST_CELL) for cell in cells))
    print_table(PlainConsole(), table)


def _told(slot: object) -> dict[str, Any]:
    """Return a slot with all its keys, those with their defaults, too."""
    told: dict[str, Any] = {}
    for field in msgspec.structs.fields(type(slot)):  # type: ignore[arg-type]
        value = getattr(slot, field.name)
        told[field.name] = msgspec.to_builtins(value)
    return told


def _unknown(found: SlotsFile) -> list[str] | None:
    """Return the names that the catalogue does not have, or None without a catalogue."""
    from graphstore.queries import names_of_items
    from graphstore.session import NoDatabase, open_existing, read, revisions

    try:
        engine = open_existing(GraphstoreConfig().sqlalchemy_url)
    except NoDatabase:
        return None
    try:
        if revisions(engine)[0] is None:
            return None
        with read(engine) as connection:
            categories, brands = names_of_items(connection)
    finally:
        engine.dispose()
    return unknown_names(found.slots, categories, brands) if categories or brands else None
