"""The routing that SQL asks for: a probation before experiments, and what cannot run is left out and told."""

import json
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, update

from graphstore.session import read, write
from graphstore.tables import experiments, models
from serving.routing import Arm, Exploration, Routing, Split, probation
from serving.routing_source import Wanted, wanted
from tests.serving.toy import register
from training.lifecycle import registry
from training.lifecycle.promotions import Change

WATCHED = Change("gate", "better", 0.1, 60.0)
ARMS = [{"name": "control", "share": 0.5}, {"name": "bold", "share": 0.5, "exploration": {"temperature": 0.5}}]


def experiment(connection: Connection, name: str, arms: Any = ARMS, **columns: Any) -> None:
    row = {"name": name, "salt": f"salt {name}", "arms": json.dumps(arms), "status": "running", "who": "", "why": ""}
    connection.execute(insert(experiments).values({**row, "started_at": 1, **columns}))


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """m1 served, m2 serves with a probation until 60 s, m3 was kept."""
    for version in ("m1", "m2", "m3"):
        register(engine, version, status="kept")
    with write(engine) as connection:
        registry.promote(connection, "m1", now=0)
        registry.promote(connection, "m2", now=0, change=WATCHED)
    return engine


def asked(engine: Engine, now: int = 1) -> Wanted:
    with read(engine) as connection:
        found = wanted(connection, now=now)
    assert found
    return found


def test_a_probation_keeps_the_previous_champion_until_its_end(shop: Engine) -> None:
    during = asked(shop)
    assert during == Wanted("m2", Routing((probation("m1", 0.1, salt="probation 2"),), "m2"))
    assert during.versions == ["m2", "m1"]
    assert asked(shop, now=60_000) == Wanted("m2", Routing((), "m2"))


def test_a_new_promotion_takes_the_probation_over_and_a_rollback_ends_it(shop: Engine) -> None:
    with write(shop) as connection:
        registry.promote(connection, "m3", now=5, change=WATCHED)
    assert asked(shop) == Wanted("m3", Routing((probation("m2", 0.1, salt="probation 3"),), "m3"))
    with write(shop) as connection:
        registry.rollback(connection, now=6)
    assert asked(shop) == Wanted("m2", Routing((), "m2"))


@pytest.mark.parametrize("column", ["banned_at", "pruned_at"])
def test_nobody_stays_with_a_model_that_may_not_serve(shop: Engine, column: str) -> None:
    with write(shop) as connection:
        connection.execute(update(models).where(models.c.model_version == "m1").values({column: 3}))
    assert asked(shop).routing.splits == ()


def test_experiments_come_after_the_probation_in_the_order_of_their_start(shop: Engine) -> None:
    with write(shop) as connection:
        experiment(connection, "later", started_at=2)
        experiment(connection, "models", [{"name": "new", "share": 0.2, "model_version": "m3"}], slot="home")
        experiment(connection, "over", status="stopped")
    found = asked(shop)
    assert [split.name for split in found.routing.splits] == ["probation", "models", "later"]
    assert found.routing.splits[1] == Split("models", "salt models", (Arm("new", 0.2, "m3"),), slot="home")
    assert found.routing.splits[2].arms[1] == Arm("bold", 0.5, exploration=Exploration(temperature=0.5))
    assert found.versions == ["m2", "m1", "m3"]
    assert found.problems == ()


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ("not a list", "array"),
        ([{"name": "a", "share": 2}], "share"),
        ([{"name": "a", "share": 0.7}, {"name": "b", "share": 0.7}], "shares"),
        ([{"name": "a", "share": 0.5, "model_version": "gone"}], "model gone cannot serve"),
    ],
)
def test_an_experiment_that_cannot_run_is_left_out_and_told(shop: Engine, arms: Any, said: str) -> None:
    with write(shop) as connection:
        experiment(connection, "bad", arms)
        experiment(connection, "good")
    found = asked(shop)
    assert [split.name for split in found.routing.splits] == ["probation", "good"]
    (problem,) = found.problems
    assert problem.startswith("experiment bad: ")
    assert said in problem
