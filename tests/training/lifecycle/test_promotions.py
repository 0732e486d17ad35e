"""Who changed the champion when and why; the way back; probations that begin and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, insert, update

from graphstore.session import write
from graphstore.tables import metadata, models
from training.lifecycle import promotions, registry
from training.lifecycle.promotions import Change

WATCHED = Change("command line", "to try it", 0.1, 60.0, {"plan": "in words"})


def add(connection: Connection, *versions: str) -> None:
    for version in versions:
        row = {"model_version": version, "kind": "closed_form", "status": "kept", "snapshot_id": "s", "bundle": version}
        connection.execute(insert(models).values(**row, created_at=0))


def test_every_change_is_recorded_with_its_reason(engine: Engine):
    with write(engine) as connection:
        add(connection, "a", "b")
        registry.promote(connection, "a", now=10, change=Change("gate, run r1", "it wins"))
        registry.promote(connection, "b", now=20, change=WATCHED)
        registry.promote(connection, "b", now=25, change=WATCHED)  # it serves already
        registry.rollback(connection, now=30, change=Change("command line", "by hand"))
        back, forward, first = promotions.list_promotions(connection)
        assert promotions.list_promotions(connection, newest=1) == [back]
    assert (first.action, first.from_version, first.to_version, first.at) == ("promote", None, "a", 10)
    assert (first.who, first.why, first.probation_until) == ("gate, run r1", "it wins", None)
    assert (forward.from_version, forward.to_version) == ("a", "b")
    assert (forward.probation_share, forward.probation_until, forward.detail) == (0.1, 60_020, {"plan": "in words"})
    assert (forward.outcome, forward.ended_at) == (promotions.SUPERSEDED, 30)
    assert (back.action, back.from_version, back.to_version, back.who) == ("rollback", "b", "a", "command line")
    assert back.probation_until is None


def test_a_probation_runs_until_it_is_ended_once(engine: Engine):
    with write(engine) as connection:
        add(connection, "a", "b", "c")
        registry.promote(connection, "a", now=1, change=WATCHED)
        assert promotions.running_probation(connection) is None  # nobody served before
        registry.promote(connection, "b", now=2, change=WATCHED)
        running = promotions.running_probation(connection)
        assert running and (running.to_version, running.from_version) == ("b", "a")
        assert promotions.note(connection, running.promotion_key, {"lift": 0.1})
        assert promotions.end_probation(connection, running.promotion_key, promotions.PASSED, {"lift": 0.2}, now=9)
        assert not promotions.end_probation(connection, running.promotion_key, promotions.HARM, {}, now=10)
        assert not promotions.note(connection, running.promotion_key, {})
        ended = promotions.list_promotions(connection)[0]
        assert (ended.outcome, ended.ended_at, ended.detail) == ("passed", 9, {"lift": 0.2})
        registry.ban(connection, "b", now=11)
        registry.promote(connection, "c", now=12, change=WATCHED)
        assert promotions.running_probation(connection) is None  # nobody stays with a banned model


def test_twice_back_never_returns_and_skips_what_may_not_serve(engine: Engine):
    with write(engine) as connection:
        add(connection, *"abcde")
        for time, version in enumerate("abcde"):
            registry.promote(connection, version, now=time)
        registry.ban(connection, "d", now=9)
        connection.execute(update(models).where(models.c.model_version == "b").values(pruned_at=9))
        assert registry.rollback(connection, now=10).model_version == "c"
        registry.promote(connection, "e", now=11)  # a person tries it again
        assert registry.rollback(connection, now=12).model_version == "c"
        assert registry.rollback(connection, now=13).model_version == "a"
        with pytest.raises(registry.NoChampion):
            registry.rollback(connection, now=14)


@given(st.lists(st.sampled_from(["promote a", "promote b", "promote c", "promote d", "back"]), max_size=14))
def test_a_rollback_never_goes_to_what_a_rollback_left_since_its_last_promotion(steps: list[str]):
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    left: set[str] = set()
    with engine.begin() as connection:
        add(connection, *"abcd")
        for time, step in enumerate(steps):
            before = registry.champion(connection)
            if step != "back":
                left.discard(registry.promote(connection, step[-1], now=time).model_version)
                continue
            try:
                after = registry.rollback(connection, now=time)
            except registry.NoChampion:
                continue
            assert before and after.model_version not in left | {before.model_version}
            left.add(before.model_version)
    engine.dispose()
