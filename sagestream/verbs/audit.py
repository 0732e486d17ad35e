"""Audit: tells where a list came from, and what the loop did."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from graphstore.config import GraphstoreConfig
from sagestream.moments import shown_time
from sagestream.printable import PlainConsole, echo, echo_json, printable
from sagestream.tables import print_table

if TYPE_CHECKING:
    from training.lifecycle.origin import ListOrigin

LONGEST_OUTCOME = 500
LONGEST_LINE = 1_000
SHOWN_HASH = 12
"""So many digits of the settings' hash tell two settings apart; `--json` has all."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(why)
    app.command()(history)


def why(
    request_id: Annotated[str, typer.Argument(help="The request id in the API's answer.")], as_json: AsJson = False
) -> None:
    """Where a list that was shown came from: its model, run, data, verdict, promotion and experiment."""
    from graphstore.session import open_existing, read
    from training.lifecycle.origin import origin

    engine = open_existing(GraphstoreConfig().sqlalchemy_url)
    with read(engine) as connection:
        found = origin(connection, request_id)
    engine.dispose()
    if as_json:
        echo_json(asdict(found))
        return
    for line in lines(found):
        echo(printable(line, LONGEST_LINE))
    table = Table("#", "item", "score", "propensity", "source", "led to")
    for item in found.items:
        shown = (f"{item.score:.3f}", f"{item.propensity:.4g}", item.source, ", ".join(item.led_to))
        table.add_row(str(item.position), printable(item.item_id, LONGEST_LINE), *shown)
    print_table(PlainConsole(), table)


def lines(found: "ListOrigin") -> list[str]:
    """Return the origin as sentences, from the list back to the reason for its model."""
    said = [
        f"{len(found.items)} items were shown to {found.user_id} in slot {found.slot} at {shown_time(found.shown_at)}, "
        f"variant {found.variant}"
    ]
    if found.experiment is not None:
        said.append(f"experiment {found.experiment}: {found.experiment_because}")
    if found.kind is None:
        return [*said, f"model {found.model_version}: the registry does not know it"]
    code = f"Sagestream {found.code_version}" if found.code_version else "a version of Sagestream that is not known"
    settings = f", settings {found.settings_hash[:SHOWN_HASH]}" if found.settings_hash else ""
    said.append(f"model {found.model_version}: {found.kind}, made by {code}{settings}")
    if found.parent is not None:
        full = f", last full model of its line {found.anchor}" if found.anchor else ""
        said.append(f"champion when it was made: {found.parent}{full}")
    until = "" if found.snapshot_as_of is None else f", events until {shown_time(found.snapshot_as_of)}"
    said.append(f"data: snapshot {found.snapshot_id}{until}")
    if found.run_id is not None:
        said.append(f"run {found.run_id} at {shown_time(found.run_started_at)}, asked for by {found.trigger}")
    said += [f"answered the request of {request}" for request in found.requests]
    if found.verdict is not None:
        said.append(f"verdict {found.verdict}: {'; '.join(found.reasons)}")
    if found.promoted_at is None:
        said.append("it was not the champion at that time")
    else:
        said.append(
            f"champion since {shown_time(found.promoted_at)}: {found.promotion_action} by {found.promoted_by}, "
            f"{found.promoted_because}"
        )
    return said


def history(
    newest: Annotated[int, typer.Option(min=1, max=1000, help="How many entries.")] = 20, as_json: AsJson = False
) -> None:
    """The loop's story: runs, requests, promotions, rollbacks and probations, newest first."""
    from graphstore.session import open_existing, read
    from training.lifecycle.story import story

    engine = open_existing(GraphstoreConfig().sqlalchemy_url)
    with read(engine) as connection:
        entries = story(connection, newest=newest)
    engine.dispose()
    if as_json:
        echo_json([entry.to_json() for entry in entries])
        return
    table = Table("at", "what", "by", "outcome", "model", "seconds")
    for entry in entries:
        seconds = "" if entry.seconds is None else f"{entry.seconds:.1f}"
        by, outcome = printable(entry.who, LONGEST_OUTCOME), printable(entry.outcome, LONGEST_OUTCOME)
        table.add_row(shown_time(entry.at), entry.what, by, outcome, entry.model_version or "", seconds)
    print_table(PlainConsole(), table)
