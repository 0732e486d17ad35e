"""Models: trains, lists and promotes models, and rolls back."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError, reason
from sagestream.error_messages import message
from sagestream.moments import shown_time
from sagestream.printable import BadParameter, PlainConsole, echo_json, echo_result
from sagestream.stages import Stages
from sagestream.tables import print_table
from sagestream.text_encoder import TextEncoder, with_text_encoder
from stream.config import StreamConfig

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from training.lifecycle.registry import ModelRow

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for `history`.")]
COMMAND_LINE = "command line"
BY_HAND = "asked for by hand"

models_app = typer.Typer(help="The registry of models.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(train)
    models_app.command("list")(list_)
    models_app.command()(promote)
    models_app.command()(rollback)
    app.add_typer(models_app, name="models")


def _engine() -> "Engine":
    """Open the database; the registry needs one that exists."""
    from graphstore.session import open_existing

    return open_existing(GraphstoreConfig().sqlalchemy_url)


def train(
    kind: Annotated[
        Literal["closed_form", "graphsage", "incremental"], typer.Option(help="What to fit; the gate decides the rest.")
    ] = "graphsage",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the training.")] = 0,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", help="Training file, as `tune` writes it; default: SAGESTREAM_TRAINING_CONFIG."),
    ] = None,
    text_encoder: TextEncoder = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with a graphsage run that was killed, on its snapshot, if one may."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train on a fresh snapshot, compare on the time split, and promote the model if it passes the gate."""
    from graphstore.session import now_ms, read
    from sagestream.playground.outcome import comparison_table
    from training.config import TrainingConfig
    from training.config_file import current_config, load_config
    from training.lifecycle.registry import NoChampion, champion
    from training.lifecycle.run import RESUMED, RunSpec, run_training
    from training.options import TrainingOptions

    if resume and kind != "graphsage":
        raise BadParameter(f"only a graphsage run can be gone on with, not {kind}", param_hint="--resume")
    base = TrainingConfig()
    config = current_config(base) if config_file is None else load_config(config_file, base=base)
    config = with_text_encoder(config, text_encoder)
    console = PlainConsole(stderr=True)
    stages = Stages(console)
    engine = _engine()
    with read(engine) as connection:
        if kind == "incremental" and champion(connection) is None:
            raise NoChampion("there is no champion that an incremental run could go on from: train another kind")
    with stages.stage("train", f"Train {kind}") as report:
        result = run_training(
            engine,
            RunSpec(kind, "command line", resume=resume),
            graph=GraphstoreConfig(),
            config=config,
            now=now_ms,
            options=TrainingOptions(seed=seed, progress=report),
        )
    if resume and RESUMED not in result.reasons:
        stages.say(("no killed run to go on with", "yellow"), ", or too much happened since: trained from the start")
    console.print(comparison_table("The held-out window", {**result.comparison, kind: result.metrics}, [kind]))
    with read(engine) as connection:
        row = champion(connection)
    engine.dispose()
    told = {name: value for name, value in asdict(result).items() if name not in ("comparison", "memory")}
    said = f"{result.model_version}: {result.verdict}, {'; '.join(result.reasons)}"
    if result.switched and row is not None:
        told["announced"] = _announced(row, stages)
    echo_result(told, said, as_json=as_json, default=str)


def _announced(row: "ModelRow", stages: Stages) -> bool:
    """Announce the champion and return whether Kafka accepted it.

    The registry table decides, so the promotion is valid without the announcement.
    """
    from kafka.errors import KafkaError

    from graphstore.session import now_ms
    from stream.kafka.producer import EventProducer
    from training.lifecycle.announcer import BOOTSTRAP_SECONDS
    from training.lifecycle.registry import announce

    try:
        with EventProducer(StreamConfig(), bootstrap_seconds=BOOTSTRAP_SECONDS) as producer:
            announce(producer, row, now=now_ms())
    except (KafkaError, UserError) as error:
        why = message(error) or reason(error)
        stages.say(
            (f"not announced, {why}", "yellow"),
            f". {row.model_version} is the champion all the same: a publisher finds it in the registry by itself",
        )
        return False
    return True


def list_(as_json: AsJson = False) -> None:
    """Every model with its verdict, oldest first."""
    from graphstore.session import read
    from training.lifecycle.registry import list_models

    engine = _engine()
    with read(engine) as connection:
        rows = list_models(connection)
    engine.dispose()
    if as_json:
        echo_json([asdict(row) for row in rows])
        return
    table = Table("model", "status", "kind", "parent", "ndcg@20", "recall@20", "made", "verdict")
    for row in rows:
        metrics = [_number(row.metrics.get(name)) for name in ("ndcg@20", "recall@20")]
        verdict = "; ".join(row.gate.get("reasons", []))
        made = shown_time(row.created_at)
        table.add_row(row.model_version, row.status, row.kind, row.parent or "", *metrics, made, verdict)
    print_table(PlainConsole(), table)


def promote(
    model_version: Annotated[str, typer.Argument(help="The model that shall serve.")],
    why: Why = BY_HAND,
    force: Annotated[
        bool, typer.Option("--force", help="Also a model that is banned, because it did harm to the shop.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a model the champion, whatever the gate said, with a probation of half of the shoppers, and announce it.

    It must load, and its scores must be finite.
    """
    from graphstore.session import now_ms, read, write
    from training.config import TrainingConfig
    from training.lifecycle import registry
    from training.lifecycle.bundle_check import check_model
    from training.lifecycle.patience import change_of, probation_wish, unjudged

    engine = _engine()
    with read(engine) as connection:
        model = registry.get_model(connection, model_version)
    check_model(model)
    if model.banned_at is not None and force:
        stages = Stages(PlainConsole(stderr=True))
        stages.say((f"{model_version} is banned since {shown_time(model.banned_at)}, because it did harm", "yellow"))
    with write(engine) as connection:
        now = now_ms()
        change = change_of(connection, COMMAND_LINE, why, unjudged(probation_wish(TrainingConfig())), now=now)
        row = registry.promote(connection, model_version, now=now, change=change, banned_too=force)
    _tell("promote", engine, row, as_json=as_json)


def rollback(why: Why = BY_HAND, as_json: AsJson = False) -> None:
    """Go back to the champion before this one, and announce it. A second rollback goes further back."""
    from graphstore.session import now_ms, write
    from training.lifecycle import registry
    from training.lifecycle.promotions import Change

    engine = _engine()
    with write(engine) as connection:
        row = registry.rollback(connection, now=now_ms(), change=Change(COMMAND_LINE, why))
    _tell("rollback", engine, row, as_json=as_json)


def _tell(verb: str, engine: "Engine", row: "ModelRow", *, as_json: bool) -> None:
    """Let readers follow, announce the champion, and say both. The registry has decided, so no failure here matters."""
    from sagestream.following import followed

    stages = Stages(PlainConsole(stderr=True))
    served = followed(engine, stages)
    engine.dispose()
    told = {"champion": row.model_version, "served": served, "announced": _announced(row, stages)}
    state = "readers get its lists" if served else "readers get it when the publisher has written its lists"
    echo_result(told, f"{verb}: the champion is {row.model_version}, {state}", as_json=as_json)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}"
