"""Origin: one list is followed back to its model, run, data, verdict, promotion and experiment."""

import json

import pytest
from sqlalchemy import Connection, Engine, insert

from graphstore import tables
from graphstore.session import read, write
from training.lifecycle import registry
from training.lifecycle.origin import UnknownList, origin
from training.lifecycle.promotions import Change
from training.lifecycle.requests import take_requests

PURCHASE = tables.EVENT_TYPES.index("purchase")


def show(connection: Connection, request_id: str, *, at: int, model: str, variant: str = "champion") -> None:
    for position, item in enumerate(("tea", "cup")):
        connection.execute(
            insert(tables.impressions).values(
                request_id=request_id,
                position=position,
                user_id="ann",
                item_id=item,
                slot="home",
                event_time=at,
                model_version=model,
                variant=variant,
                score=1.0 - position,
                propensity=0.5,
                source="batch",
            )
        )


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Two models: the second, promoted at 200, was taken back at 300. A list of each, and one of an experiment."""
    with write(engine) as connection:
        connection.execute(
            insert(tables.snapshots).values(
                snapshot_id="s2",
                as_of=150,
                last_interaction_key=9,
                path="s2",
                created_at=150,
                users=1,
                items=2,
                interactions=9,
            )
        )
        for version, snapshot, parent in (("m1", "s1", None), ("m2", "s2", "m1")):
            gate = {"verdict": "promoted", "reasons": [f"{version} is better"]}
            registry.register(
                connection,
                registry.ModelRow(
                    version,
                    "closed_form",
                    "candidate",
                    parent,
                    snapshot,
                    "nowhere",
                    {},
                    gate,
                    1.0,
                    100,
                    code_version="9.9",
                ),
            )
        registry.request_retrain(connection, reason="drift", requested_by="monitoring", now=140)
        registry.start_run(connection, "r2", kind="closed_form", trigger="monitoring: drift", now=160)
        take_requests(connection, "r2", full=True)
        registry.finish_run(connection, "r2", status="promoted", now=190, snapshot_id="s2", model_version="m2")
        registry.promote(connection, "m1", change=Change("command line", "the first"), now=110)
        registry.promote(connection, "m2", change=Change("r2", "m2 is better"), now=200)
        registry.rollback(connection, change=Change("probation", "clicks fell"), now=300)
        connection.execute(
            insert(tables.experiments).values(
                name="bold", salt="x", arms="[]", status="running", who="ann", why="to see", started_at=300
            )
        )
        show(connection, "early", at=120, model="m1")
        show(connection, "middle", at=250, model="m2")
        show(connection, "late", at=350, model="m1", variant="bold/control")
        connection.execute(
            insert(tables.attributions).values(
                event_id="e1", request_id="middle", position=1, event_type=PURCHASE, event_time=260
            )
        )
    return engine


def test_a_list_is_followed_back_to_the_request(shop: Engine) -> None:
    with read(shop) as connection:
        found = origin(connection, "middle")
    assert (found.user_id, found.slot, found.shown_at, found.variant) == ("ann", "home", 250, "champion")
    assert (found.model_version, found.kind, found.parent, found.code_version) == ("m2", "closed_form", "m1", "9.9")
    assert (found.snapshot_id, found.snapshot_as_of) == ("s2", 150)
    assert (found.run_id, found.run_started_at, found.run_finished_at) == ("r2", 160, 190)
    assert (found.trigger, found.requests) == ("monitoring: drift", ["monitoring: drift"])
    assert (found.verdict, found.reasons) == ("promoted", ["m2 is better"])
    assert (found.promoted_at, found.promotion_action, found.promoted_by) == (200, "promote", "r2")
    assert [(item.item_id, item.led_to) for item in found.items] == [("tea", []), ("cup", ["purchase"])]


def test_the_promotion_is_the_last_one_before_the_list(shop: Engine) -> None:
    with read(shop) as connection:
        early, late = origin(connection, "early"), origin(connection, "late")
    assert (early.promotion_action, early.promoted_because) == ("promote", "the first")
    assert (late.promotion_action, late.promoted_because) == ("rollback", "clicks fell")
    assert (early.experiment, late.experiment, late.experiment_because) == (None, "bold", "to see")
    assert (early.run_id, early.requests) == (None, [])


def test_a_model_that_the_registry_does_not_know(shop: Engine) -> None:
    with write(shop) as connection:
        show(connection, "foreign", at=400, model="m9")
        found = origin(connection, "foreign")
    assert (found.model_version, found.kind, found.promoted_at, found.reasons) == ("m9", None, None, [])


def test_the_view_has_one_row_for_each_list(shop: Engine) -> None:
    with read(shop) as connection:
        rows = connection.exec_driver_sql("SELECT request_id, items, gate FROM list_origins ORDER BY event_time").all()
    assert [(row.request_id, row.items) for row in rows] == [("early", 2), ("middle", 2), ("late", 2)]
    assert json.loads(rows[1].gate)["reasons"] == ["m2 is better"]


def test_an_unknown_list(shop: Engine) -> None:
    with read(shop) as connection, pytest.raises(UnknownList, match="no list 'nowhere'"):
        origin(connection, "nowhere")
