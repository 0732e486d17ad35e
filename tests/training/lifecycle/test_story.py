"""Story: runs, waiting requests and every change of the champion, in their order."""

from sqlalchemy import Engine

from graphstore.session import read, write
from training.lifecycle import promotions, registry
from training.lifecycle.promotions import Change
from training.lifecycle.story import story


def test_the_story_of_a_bad_model(engine: Engine) -> None:
    with write(engine) as connection:
        for version in ("m1", "m2"):
            registry.register(
                connection,
                registry.ModelRow(version, "graphsage", "candidate", None, "s", "nowhere", {}, {}, 1.0, 100),
            )
        registry.promote(connection, "m1", change=Change("command line", "the first"), now=110)
        registry.start_run(connection, "r1", kind="graphsage", trigger="5000 new events", now=120)
        registry.finish_run(connection, "r1", status="promoted", now=121_120, model_version="m2")
        registry.promote(connection, "m2", change=Change("r1", "ahead", 0.1, 60.0), now=121_120)
        (running,) = [promotions.running_probation(connection)]
        assert running is not None
        measured = {"lift": -0.25, "low": -0.4, "high": -0.1}
        promotions.end_probation(connection, running.promotion_key, promotions.HARM, measured, now=130_000)
        registry.rollback(connection, change=Change("probation", "clicks fell"), now=130_000)
        registry.request_retrain(connection, reason="after a rollback", requested_by="probation", now=130_001)
        registry.start_run(connection, "r2", kind="incremental", trigger="x", now=140_000)
        registry.finish_run(connection, "r2", status="failed", now=141_000, error="no room")
    with read(engine) as connection:
        told = story(connection, newest=10)
        assert story(connection, newest=2) == told[:2]
    assert [(entry.what, entry.model_version, entry.who) for entry in told] == [
        ("run", None, "x"),
        ("request", None, "probation"),
        ("rollback", "m1", "probation"),
        ("promote", "m2", "r1"),
        ("run", "m2", "5000 new events"),
        ("promote", "m1", "command line"),
    ]
    assert told[0].outcome == "incremental, failed: no room"
    assert told[1].outcome == "after a rollback: waiting"
    assert told[2].outcome == "clicks fell (from m2)"
    assert told[3].outcome == "ahead (from m1); probation harm, lift -25.0% (-40.0% to -10.0%)"
    assert told[4].seconds == 121.0
    assert told[2].to_json()["from_version"] == "m2"
