"""Experiments: starts, lists, reports and stops the comparison of models or settings on live traffic."""

import secrets
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from graphstore.config import GraphstoreConfig
from sagestream.printable import BadParameter, PlainConsole, echo_json, echo_result, printable
from sagestream.stages import Stages
from sagestream.tables import print_table
from serving.config import ServingConfig
from serving.routing import Arm, Exploration
from stream.events import utc

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from monitoring.experiments import ArmReport, Report

COMMAND_LINE = "command line"
LONGEST_CELL = 200

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The experiment's name.")]
Slot = Annotated[str | None, typer.Option(help="Only lists of this slot; default: all slots.", show_default=False)]
experiments_app = typer.Typer(help="Experiments: models or settings, compared on live traffic.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (start, report, stop):
        experiments_app.command()(verb)
    experiments_app.command("list")(list_)
    app.add_typer(experiments_app, name="experiments")


def _engine() -> "Engine":
    from graphstore.session import open_existing

    return open_existing(GraphstoreConfig().sqlalchemy_url)


def arm_of(words: str) -> Arm:
    """Return the arm of `NAME=SHARE[,model=VERSION][,temperature=T][,new-items=SHARE]`. Raises `BadParameter`."""
    first, *others = words.split(",")
    name, _, share = first.partition("=")
    settings: dict[str, str] = {}
    for other in others:
        key, equals, value = other.partition("=")
        if not equals or key not in ("model", "temperature", "new-items") or key in settings:
            raise BadParameter(
                f"{other!r} in {words!r} is none of model=VERSION, temperature=T, new-items=SHARE", param_hint="--arm"
            )
        settings[key] = value
    how = Exploration(
        _number(settings.get("temperature", "0"), "temperature", 100.0),
        _number(settings.get("new-items", "0"), "new-items", 1.0),
    )
    return Arm(name, _number(share, "share", 1.0), settings.get("model"), how)


def _number(text: str, what: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise BadParameter(f"the {what} is {text!r}, not a number from 0 to {most:g}", param_hint="--arm")
    return value


def start(
    name: Name,
    arm: Annotated[
        list[str],
        typer.Option(
            "--arm",
            help="NAME=SHARE[,model=VERSION][,temperature=T][,new-items=SHARE]; repeat it. The first is the control.",
        ),
    ],
    slot: Slot = None,
    why: Annotated[str, typer.Option(help="Why it is run; kept with it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Start an experiment: each shopper stays in one arm. Readers follow as soon as each model has its lists."""
    from graphstore.session import now_ms, write
    from sagestream.following import followed
    from serving.experiments import Experiment
    from serving.experiments import start as start_experiment
    from serving.slots.slot_book import SlotBook

    if slot is not None:
        SlotBook.open(ServingConfig()).slot(slot)  # raises UnknownSlot
    arms = tuple(arm_of(words) for words in arm)
    engine, now, salt = _engine(), now_ms(), secrets.token_hex(16)
    with write(engine) as connection:
        started = start_experiment(connection, Experiment(name, slot, salt, arms, COMMAND_LINE, why, now))
    served = followed(engine, Stages(PlainConsole(stderr=True)))
    engine.dispose()
    shares = ", ".join(f"{one.name} {one.share:.0%}" for one in started.arms)
    rest = 1 - sum(one.share for one in started.arms)
    others = f", the other {rest:.0%} of the shoppers keep the champion" if rest > 1e-9 else ""
    echo_result(
        {"name": name, "slot": slot, "arms": [_told(one) for one in started.arms], "started_at": now, "served": served},
        f"{name} runs in {slot or 'all slots'}: {shares}{others}",
        as_json=as_json,
    )


def list_(as_json: AsJson = False) -> None:
    """Every experiment, oldest first."""
    from graphstore.session import read
    from serving.experiments import list_experiments

    engine = _engine()
    with read(engine) as connection:
        rows = list_experiments(connection)
    engine.dispose()
    if as_json:
        echo_json([{**asdict(row), "arms": [_told(arm) for arm in row.arms]} for row in rows])
        return
    table = Table("experiment", "status", "slot", "arms", "started", "stopped", "why")
    for row in rows:
        arms = "; ".join(_words(arm) for arm in row.arms)
        stopped = "" if row.stopped_at is None else _time(row.stopped_at)
        why = printable(row.why, LONGEST_CELL)
        table.add_row(row.name, row.status, row.slot or "all", arms, _time(row.started_at), stopped, why)
    print_table(PlainConsole(), table)


def report(name: Name, as_json: AsJson = False) -> None:
    """What the arms did: rates, and differences from the control with intervals that are valid at every look."""
    from graphstore.session import now_ms, read
    from monitoring.experiments import report as report_of
    from serving.experiments import get

    engine = _engine()
    with read(engine) as connection:
        found = report_of(connection, get(connection, name), now=now_ms())
    engine.dispose()
    _print(found, as_json=as_json)


def stop(name: Name, as_json: AsJson = False) -> None:
    """Stop an experiment, and keep its report. Its shoppers get the champion again."""
    from graphstore.session import now_ms, write
    from monitoring.experiments import stop_with_report
    from sagestream.following import followed

    engine = _engine()
    with write(engine) as connection:
        found = stop_with_report(connection, name, now=now_ms())
    followed(engine, Stages(PlainConsole(stderr=True)))
    engine.dispose()
    _print(found, as_json=as_json)


def _print(found: "Report", *, as_json: bool) -> None:
    if as_json:
        echo_json(found.told())
        return
    table = Table("arm", "share", "shoppers", "items shown", "CTR", "difference", "conversion", "difference")
    for arm in found.arms:
        table.add_row(
            arm.name,
            f"{arm.share:.0%}",
            f"{arm.shoppers:,}",
            f"{arm.items:,}",
            _rate(arm.clicks, arm.items),
            _difference(arm, "ctr"),
            _rate(arm.purchases, arm.items),
            _difference(arm, "conversion"),
        )
    console = PlainConsole()
    print_table(console, table)
    if found.sample_ratio_fault:
        console.print(
            f"the shoppers do not divide as the shares say (p = {found.sample_ratio_p:.2g}): do not trust the figures "
            "before the reason is found"
        )


def _rate(count: int, items: int) -> str:
    return "" if not items else f"{count / items:.2%}"


def _difference(arm: "ArmReport", name: str) -> str:
    told = arm.differences.get(name)
    if told is None:
        return "control"
    if told.low is None or told.high is None:
        return "too little data"
    return f"{told.difference:+.2%} ({told.low:+.2%} – {told.high:+.2%}), {told.verdict}"


def _told(arm: Arm) -> dict[str, Any]:
    return {
        "name": arm.name,
        "share": arm.share,
        "model_version": arm.model_version,
        "temperature": arm.exploration.temperature,
        "new_items": arm.exploration.new_items,
    }


def _words(arm: Arm) -> str:
    parts = [f"{arm.name} {arm.share:.0%}"]
    if arm.model_version is not None:
        parts.append(arm.model_version)
    if arm.exploration.temperature:
        parts.append(f"temperature {arm.exploration.temperature:g}")
    if arm.exploration.new_items:
        parts.append(f"{arm.exploration.new_items:.0%} new items")
    return ", ".join(parts)


def _time(epoch_ms: int) -> str:
    moment: datetime = utc(epoch_ms)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
