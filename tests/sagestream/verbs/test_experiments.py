"""`experiments` from start to stop, as a user calls it, and what it refuses."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from graphstore import queries
from graphstore.session import now_ms, open_engine, read, write
from serving.config import ServingConfig
from serving.publisher import Publisher
from serving.recommend import Storefront, recommendations
from serving.routing import Routing
from serving.routing_source import wanted
from serving.source import ShopSource
from serving.web.impressions import impression
from stream.events import CatalogItem, Impression
from stream.worker.sink import Sink
from tests.databases import migrated_sqlite
from tests.monitoring.test_experiments import fill
from tests.sagestream.verbs.commands import run
from tests.serving.toy import NAMES, register, toy_opened
from tests.waiting import wait_until

ARMS = ("--arm", "plain=0.5", "--arm", "wide=0.5,temperature=0.5,new-items=0.1")


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """A state directory with two models and no services."""
    directory = tmp_path / "state"
    engine = open_engine(migrated_sqlite(directory / "graph.db"))
    register(engine, "m1")
    register(engine, "m2", status="kept")
    engine.dispose()
    return {"STATE_DIR": str(directory), "REDIS_URL": "redis://127.0.0.1:1/0"}


def routing(settings: dict[str, str]) -> Routing:
    engine = open_engine(f"sqlite:///{settings['STATE_DIR']}/graph.db")
    with engine.connect() as connection:
        found = wanted(connection, now=1)
    engine.dispose()
    assert found is not None and not found.problems
    return found.routing


def test_an_experiment_from_start_to_stop(alone: dict[str, str]) -> None:
    started = run("experiments", "start", "try", *ARMS, "--slot", "home", "--why", "more to see", settings=alone)
    assert (started.code, started.out) == (0, "try runs in home: plain 50%, wide 50%\n")
    assert "not switched" in started.err and "The publisher switches later" in " ".join(started.err.split())
    (split,) = routing(alone).splits
    assert (split.name, split.slot, [arm.name for arm in split.arms]) == ("try", "home", ["plain", "wide"])
    assert (split.arms[1].exploration.temperature, split.arms[1].exploration.new_items) == (0.5, 0.1)

    now = run("experiments", "list", "--json", settings=alone).json[0]["started_at"]
    engine = open_engine(f"sqlite:///{alone['STATE_DIR']}/graph.db")
    fill(engine, {"plain": [1, 0, 2], "wide": [3, 4]}, time=now)
    engine.dispose()
    wait_until(lambda: run("experiments", "report", "try", "--json", settings=alone).json["end"] > now)
    told = run("experiments", "report", "try", "--json", settings=alone).json
    assert [(arm["name"], arm["shoppers"], arm["clicks"]) for arm in told["arms"]] == [("plain", 3, 3), ("wide", 2, 7)]
    shown = run("experiments", "report", "try", settings=alone).out
    assert "control" in shown and "87.50%" in shown and "not clear" in shown

    stopped = run("experiments", "stop", "try", "--json", settings=alone)
    assert (stopped.code, stopped.json["status"]) == (0, "stopped")
    assert routing(alone).splits == ()
    (row,) = run("experiments", "list", "--json", settings=alone).json
    assert (row["status"], row["why"], row["who"]) == ("stopped", "more to see", "command line")
    assert row["outcome"]["arms"] == told["arms"]
    listed = run("experiments", "list", settings=alone).out
    assert "wide 50%, temperature 0.5, 10% new items" in listed
    again = run("experiments", "stop", "try", settings=alone)
    assert (again.code, str(again.error)) == (1, "try was stopped before")


def test_a_model_for_some_of_the_shoppers(alone: dict[str, str]) -> None:
    arms = ("--arm", "champion=0.1", "--arm", "m2=0.1,model=m2")
    started = run("experiments", "start", "two", *arms, "--json", settings=alone)
    assert started.json["arms"][1] == {
        "name": "m2",
        "share": 0.1,
        "model_version": "m2",
        "temperature": 0.0,
        "new_items": 0.0,
    }
    assert routing(alone).versions() == {"m2"}
    other = run("experiments", "start", "three", *arms, settings=alone)
    assert (
        other.out == "three runs in all slots: champion 10%, m2 10%, the other 80% of the shoppers keep the champion\n"
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("probation", *ARMS), "the name probation is reserved: choose another one"),
        (
            ("try", *ARMS, "--slot", "nowhere"),
            "no slot 'nowhere': there are best_sellers, bought_together",
        ),
        (("try", "--arm", "a=0.5", "--arm", "b=0.5,model=m9"), "no model m9 in the registry"),
        (("try", "--arm", "a=0.7", "--arm", "b=0.7"), "the shares sum to 1.4, more than 1"),
        (("try", "--arm", "a=0.7"), "an experiment needs two arms or more, the first one is the control"),
    ],
)
def test_what_cannot_run_is_refused(alone: dict[str, str], words: tuple[str, ...], why: str) -> None:
    refused = run("experiments", "start", *words, settings=alone)
    assert refused.code == 1
    assert why in str(refused.error)
    assert run("experiments", "list", "--json", settings=alone).json == []


@pytest.mark.parametrize(
    "arm", ["a", "a=two", "a=2", "a=nan", "a=0.5,size=9", "a=0.5,model=m,model=m", "a=0.5,temperature=hot"]
)
def test_an_arm_that_is_not_understood_is_a_usage_error(alone: dict[str, str], arm: str) -> None:
    refused = run("experiments", "start", "try", "--arm", arm, settings=alone)
    assert refused.code == 2
    assert "--arm" in refused.err


def test_a_banned_or_pruned_model_is_refused(alone: dict[str, str]) -> None:
    from sqlalchemy import update

    from graphstore.tables import models

    for column, why in (("banned_at", "did harm and is banned"), ("pruned_at", "bundle of model m2 was deleted")):
        engine = open_engine(f"sqlite:///{alone['STATE_DIR']}/graph.db")
        with write(engine) as connection:
            connection.execute(update(models).where(models.c.model_version == "m2").values(banned_at=None))
            connection.execute(update(models).where(models.c.model_version == "m2").values({column: 5}))
        engine.dispose()
        refused = run("experiments", "start", "try", "--arm", "a=0.5", "--arm", "b=0.5,model=m2", settings=alone)
        assert (refused.code, why in str(refused.error)) == (1, True)


def test_readers_follow_at_once_and_the_impressions_name_the_arms(
    alone: dict[str, str], redis: Redis, redis_url: str
) -> None:
    """From the verb through SQL, the publisher and Redis to the impression, and back to the report."""
    settings = alone | {"REDIS_URL": redis_url}
    engine = open_engine(f"sqlite:///{alone['STATE_DIR']}/graph.db")
    sink = Sink(engine, redis, recent_items=5, trending_items=5)
    for name in NAMES:
        sink.store_items([CatalogItem(item_id=name, title=name, event_time=datetime.now(UTC))], now=now_ms())
    with read(engine) as connection:
        keys = {item.item_id: item.item_key for item in queries.all_items(connection)}
    publisher = Publisher(ShopSource(engine), redis, ServingConfig(), load=toy_opened(keys))
    publisher.reconcile()
    store = Storefront.open(redis, pointer_seconds=0, item_seconds=0)

    def served(slot: str) -> list[Impression]:
        shown = []
        for shopper in range(40):
            made = recommendations(store, f"u{shopper}", k=3, explained=False, now=datetime.now(UTC), slot=slot)
            shown.append(impression(made, slot, now=datetime.now(UTC)))
        sink.store_impressions(shown, now=now_ms())
        return shown

    assert {one.variant for one in served("home")} == {"champion"}
    assert run("experiments", "start", "try", *ARMS, "--slot", "home", "--json", settings=settings).json["served"]
    variants = {one.user_id: one.variant for one in served("home")}
    assert set(variants.values()) == {"try/plain", "try/wide"}
    again = served("home")
    assert {one.user_id: one.variant for one in again} == variants
    certain = {one.variant: {item.propensity == 1.0 for item in one.items} for one in again}
    assert certain == {"try/plain": {True}, "try/wide": {False}}
    assert {one.variant for one in served("cart")} == {"champion"}

    arms = ("--arm", "m1=0.5", "--arm", "m2=0.5,model=m2")
    assert run("experiments", "start", "two", *arms, "--slot", "cart", settings=settings).code == 0
    assert {one.variant for one in served("cart")} == {"champion"}  # m2 has no lists yet
    assert [done.model_version for done in publisher.reconcile()] == ["m2"]
    assert {(one.variant, one.model_version) for one in served("cart")} == {("two/m1", "m1"), ("two/m2", "m2")}

    told = run("experiments", "stop", "try", "--json", settings=settings).json
    assert {one.variant for one in served("home")} == {"champion"}
    counts = [sum(variant == f"try/{arm}" for variant in variants.values()) for arm in ("plain", "wide")]
    assert [(arm["shoppers"], arm["items"]) for arm in told["arms"]] == [(count, 2 * 3 * count) for count in counts]
    assert not told["sample_ratio_fault"]
    engine.dispose()
