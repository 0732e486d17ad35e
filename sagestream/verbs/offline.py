"""Offline: evaluates a registered model on the events that came after it."""

from typing import Annotated, Any

import typer
from rich.table import Table

from graphstore.config import GraphstoreConfig
from sagestream.printable import PlainConsole, echo_json
from sagestream.tables import print_table


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(evaluate)


def evaluate(
    model_version: Annotated[
        str | None, typer.Argument(help="A model of the registry; default: the champion.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a registered model on the events of the newest snapshot that came after it."""
    from graphstore.snapshots.files import load_snapshot, newest_snapshot
    from sagestream.registered import registered_bundle
    from training.config import TrainingConfig
    from training.config_file import current_config
    from training.inspection.later_evaluation import later_evaluation
    from training.models.bundle import load_bundle

    graph = GraphstoreConfig()
    model = load_bundle(registered_bundle(graph, model_version))
    snapshot = load_snapshot(newest_snapshot(graph.snapshots_dir))
    told = later_evaluation(model, snapshot, max_users=current_config(TrainingConfig()).evaluation_users)
    if as_json:
        echo_json(told, allow_nan=False)
        return
    print_table(PlainConsole(), _hindsight_table(told))


def _hindsight_table(told: dict[str, Any]) -> Table:
    slices = {name: part for name, part in told.items() if isinstance(part, dict) and part["users"]}
    title = f"{told['model_version']} on what came after it, in snapshot {told['snapshot_id']}"
    table = Table("measure", f"all ({told['users']} users)", title=title)
    for name, part in slices.items():
        table.add_column(f"{name.replace('_', ' ')} ({part['users']} users)")
    for name, value in told.items():
        if "@" in name:
            parts = (part.get(name) for part in slices.values())
            table.add_row(name, f"{value:.4f}", *("" if part is None else f"{part:.4f}" for part in parts))
    return table
