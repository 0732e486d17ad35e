"""The record of experiments: what may start, in which order shoppers are taken, and what stays."""

import msgspec
import pytest
from sqlalchemy import Connection, Engine, insert, select

from graphstore.session import read, write
from graphstore.tables import experiments as table
from graphstore.tables import models
from serving import experiments
from serving.experiments import Experiment, RefusedExperiment, UnknownExperiment
from serving.routing import Arm, Exploration, Routing, check

PLAIN, WIDE = Arm("plain", 0.5), Arm("wide", 0.5, None, Exploration(0.5, 0.1))


def planned(name: str = "try", *arms: Arm, slot: str | None = "home", at: int = 5) -> Experiment:
    return Experiment(name, slot, f"salt of {name}", arms or (PLAIN, WIDE), "me", "to see", at)


def register(connection: Connection, version: str, **changed: object) -> None:
    row = {"model_version": version, "kind": "closed_form", "status": "kept", "snapshot_id": "s", "bundle": version}
    connection.execute(insert(models).values(**row, created_at=0, **changed))


def test_an_experiment_runs_until_it_is_stopped(engine: Engine) -> None:
    with write(engine) as connection:
        started = experiments.start(connection, planned())
        assert experiments.get(connection, "try") == started
        assert experiments.running(connection) == [started]
        assert started.variants() == ["try/plain", "try/wide"]
        stopped = experiments.stop(connection, "try", now=9, outcome={"report": 1})
        assert (stopped.status, stopped.stopped_at, stopped.outcome) == ("stopped", 9, {"report": 1})
        assert experiments.running(connection) == []
        assert experiments.list_experiments(connection) == [stopped]
        with pytest.raises(RefusedExperiment, match="try was stopped before"):
            experiments.stop(connection, "try", now=10, outcome={})
        with pytest.raises(RefusedExperiment, match="there is an experiment try already"):
            experiments.start(connection, planned())
        with pytest.raises(UnknownExperiment, match="sagestream experiments list"):
            experiments.stop(connection, "other", now=9, outcome={})


def test_a_running_experiment_is_a_split_of_the_routing(engine: Engine) -> None:
    with write(engine) as connection:
        register(connection, "m2")
        experiments.start(connection, planned("second", Arm("a", 0.5), Arm("b", 0.5, "m2"), slot="cart", at=7))
        experiments.start(connection, planned("first", at=6))
    with read(engine) as connection:
        splits = [one.split() for one in experiments.running(connection)]
    check(splits)
    assert [split.name for split in splits] == ["first", "second"]
    routing = Routing(tuple(splits))
    assert routing.versions() == {"m2"}
    assert {routing.assign(f"u{n}", "home", champion="m1").variant for n in range(50)} == {"first/plain", "first/wide"}
    assert {routing.assign(f"u{n}", "cart", champion="m1").model_version for n in range(50)} == {"m1", "m2"}


def test_the_arms_are_json_that_the_routing_reads(engine: Engine) -> None:
    with write(engine) as connection:
        experiments.start(connection, planned())
        stored = connection.scalar(select(table.c.arms))
    assert msgspec.json.decode(stored or "", type=tuple[Arm, ...]) == (PLAIN, WIDE)


@pytest.mark.parametrize(
    ("experiment", "why"),
    [
        (planned("probation"), "probation is reserved"),
        (planned("champion"), "champion is reserved"),
        (planned("a/b"), "'a/b' is no name"),
        (planned("x" * 65), "is no name"),
        (planned("try", Arm("", 0.5), WIDE), "'' is no name"),
        (planned("try", PLAIN), "two arms or more"),
        (planned("try", PLAIN, PLAIN), "two arms have the same name"),
        (planned("try", PLAIN, Arm("none", 0.0)), "share of none is 0"),
        (planned("try", PLAIN, Arm("more", 0.6)), "sum to 1.1, more than 1"),
        (planned("try", PLAIN, Arm("b", 0.5, "m9")), "no model m9 in the registry"),
        (planned("try", PLAIN, Arm("b", 0.5, "harmful")), "model harmful did harm and is banned"),
        (planned("try", PLAIN, Arm("b", 0.5, "pruned")), "bundle of model pruned was deleted"),
    ],
)
def test_what_cannot_run_is_refused(sqlite_engine: Engine, experiment: Experiment, why: str) -> None:
    with write(sqlite_engine) as connection:
        register(connection, "harmful", banned_at=3)
        register(connection, "pruned", pruned_at=3)
        with pytest.raises(RefusedExperiment, match=why):
            experiments.start(connection, experiment)
        assert experiments.list_experiments(connection) == []


def test_where_nobody_is_left_nothing_starts(sqlite_engine: Engine) -> None:
    with write(sqlite_engine) as connection:
        experiments.start(connection, planned("first"))
        with pytest.raises(RefusedExperiment, match="first has all shoppers"):
            experiments.start(connection, planned("second"))
        with pytest.raises(RefusedExperiment, match="first has all shoppers"):
            experiments.start(connection, planned("everywhere", slot=None))
        experiments.start(connection, planned("third", slot="cart"))
        experiments.stop(connection, "first", now=9, outcome={})
        experiments.start(connection, planned("second", Arm("a", 0.1), Arm("b", 0.2)))
        experiments.start(connection, planned("fourth"))  # the other 70 % of the shoppers
