"""Simulation: a shop in fast time, to see what a setting or a policy brings before shoppers see it."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from sagestream.printable import BadParameter, PlainConsole, echo_json
from sagestream.stages import Stages
from sagestream.tables import print_table

if TYPE_CHECKING:
    from sagestream.simulation.figures import Courses, Recovery
    from sagestream.simulation.injections import Injection
    from sagestream.simulation.policies import PolicyName
    from sagestream.simulation.run import Course


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(simulate)


def simulate(
    dataset: Annotated[
        str | None,
        typer.Option(
            help="complete-journey or a file of events: shoppers want what they bought later. Without: a made-up shop.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=0, help="Shoppers drawn from the data set; 0: all.")] = 400,
    min_item_users: Annotated[
        int, typer.Option(min=1, help="Items of the data set that fewer shoppers touched are left out.")
    ] = 20,
    shoppers: Annotated[int, typer.Option(min=10, help="Shoppers of the made-up shop.")] = 350,
    items: Annotated[int, typer.Option(min=10, help="Items of the made-up shop.")] = 250,
    visits: Annotated[float, typer.Option(min=0.01, help="Visits a day of a shopper of the made-up shop.")] = 1.5,
    days: Annotated[int, typer.Option(min=2, max=1000, help="Days that are simulated.")] = 10,
    policies: Annotated[
        str, typer.Option(help="What is compared, parted by commas: frozen, nightly, loop, popularity, oracle.")
    ] = "frozen,nightly,loop,popularity,oracle",
    injection: Annotated[
        str | None,
        typer.Option(
            help="What happens: season, taste_shift, catalogue_swap, price_shock, bots or tracking_outage.",
            show_default=False,
        ),
    ] = None,
    injection_day: Annotated[int, typer.Option(min=1, help="The day on which it happens, from 1.")] = 5,
    list_length: Annotated[int, typer.Option(min=1, max=100, help="Items that a shopper is shown.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the shop and of all chance.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Let policies keep the same simulated shop for some days, and compare their clicks and revenue.

    The shop is the real one, in fast time: the same ingest, training, gate, lists and click counting, with the settings
    of the environment. SAGESTREAM_RETRAIN_MIN_EVENTS and GraphSAGE fit the small shop unless they are set. Nothing
    needs to run, and no state directory is touched.
    """
    from monitoring.config import MonitoringConfig
    from sagestream.datasets import read_dataset
    from sagestream.playground.embedded import own_redis
    from sagestream.simulation.injections import IN_WORDS as INJECTIONS_IN_WORDS
    from sagestream.simulation.injections import injection_of
    from sagestream.simulation.latent_world import LatentSize
    from sagestream.simulation.policies import IN_WORDS as POLICIES_IN_WORDS
    from sagestream.simulation.policies import policy_name
    from sagestream.simulation.run import open_shop
    from sagestream.simulation.run import simulate as keep_shop
    from sagestream.simulation.scenarios import Plan, made_up, of_data
    from sagestream.simulation.shop import ShopConfig
    from serving.config import ServingConfig
    from training.config import TrainingConfig
    from training.config_file import current_config

    names = list(dict.fromkeys(policy_name(name.strip()) for name in policies.split(",") if name.strip()))
    if not names:
        raise BadParameter("name at least one policy", param_hint="--policies")
    if injection is not None and injection_day >= days:
        raise BadParameter("the day comes before the last day", param_hint="--injection-day")
    config = ShopConfig(current_config(TrainingConfig()), ServingConfig(), MonitoringConfig())
    happening = injection_of(injection, injection_day - 1) if injection is not None else None
    plan = Plan(days, seed, config, happening, list_length)
    stages = Stages(PlainConsole(stderr=True))
    if dataset is None:
        scenario = made_up(LatentSize(shoppers, items, days, visits_per_day=visits), plan)
    else:
        with stages.stage("read", "Read the data set"):
            table = read_dataset(dataset, sample=sample or None, min_item_users=min_item_users, seed=seed)
            scenario = of_data(table, plan)
    courses: dict[PolicyName, Course] = {}
    with tempfile.TemporaryDirectory(prefix="sagestream-simulation-") as kept, own_redis(Path(kept) / "redis") as redis:
        with stages.stage("open", "Open the shop: its past, and the first model"):
            (Path(kept) / "opened").mkdir()
            opened = open_shop(scenario, Path(kept) / "opened", redis)
        for name in names:
            with stages.stage(name, f"Keep the shop: {name}") as report:
                courses[name] = keep_shop(
                    scenario, name, opened, directory=Path(kept) / name, redis=redis, progress=report
                )
    if as_json:
        echo_json(_as_json(courses, happening))
        return
    console = PlainConsole(soft_wrap=True)
    if happening is not None:
        console.print(f"On day {injection_day}: {INJECTIONS_IN_WORDS[happening.name]}.")
    print_table(console, _table(courses, days))
    for name in names:
        console.print(f"{name}: {POLICIES_IN_WORDS[name]}")
    if (words := _recovery_in_words(courses, happening)) is not None:
        console.print(words)


def _table(courses: "Courses", days: int) -> Table:
    columns = ("policy", "clicks per 100 items shown", "expected", "revenue a day", "trainings", "promoted")
    table = Table(*columns, title=f"{days} days of the same shop")
    for name, course in courses.items():
        total = course.total()
        table.add_row(
            name,
            f"{100 * total.clicks / max(total.shown, 1):.2f}",
            f"{100 * total.expected_clicks / max(total.shown, 1):.2f}",
            f"{total.revenue / days:,.0f}",
            str(len(course.runs)) if course.runs else "",
            str(sum(run.verdict == "promoted" for run in course.runs)) if course.runs else "",
        )
    return table


def _as_json(courses: "Courses", happening: "Injection | None") -> dict[str, Any]:
    from sagestream.simulation.figures import curves

    found = _recovered(courses, happening)
    return {
        "injection": None if happening is None else {"name": happening.name, "day": happening.day + 1},
        "policies": {name: {**vars(courses[name].total()), **curve} for name, curve in curves([courses]).items()},
        "recovery": None
        if found is None
        else {"recovered": found.recovered.mean, "frozen": found.frozen.mean, "retrains": found.retrains},
    }


def _recovered(courses: "Courses", happening: "Injection | None") -> "Recovery | None":
    """Return what is back after the injection, if the policies that it takes were compared."""
    from sagestream.simulation.figures import recovery

    if happening is None or not {"oracle", "loop", "frozen"} <= courses.keys():
        return None
    return recovery([courses], day=happening.day)


def _recovery_in_words(courses: "Courses", happening: "Injection | None") -> str | None:
    found = _recovered(courses, happening)
    if found is None:
        return None
    told = (
        f"Of the clicks that the oracle keeps, the loop has {found.recovered.mean:.0%} back after three trainings "
        f"(or the last one), the frozen model {found.frozen.mean:.0%}."
    )
    if found.retrains is None:
        return f"{told} 90 % were not reached in three trainings."
    return f"{told} 90 % were reached after training {found.retrains}."
