"""References: which windows are compared, of which length, and when the champion's training is one of its own."""

from sqlalchemy import insert

from graphstore.session import read, write
from graphstore.tables import models, snapshots
from monitoring.drift.references import WEEK_DAYS, comparison, plan_comparison

DAY_MS = 86_400_000
DAY_SECONDS = 86_400
END = 20_000 * DAY_MS


def windows(trained_at=None, window_seconds=DAY_SECONDS):
    return comparison(END, window_seconds, 28 * DAY_SECONDS, trained_at=trained_at)


def test_the_trailing_windows_lie_directly_before_the_current_one_and_are_as_long():
    found = windows()
    (trailing,) = found.references
    assert (found.current.start, found.current.end) == (END - DAY_MS, END)
    assert (len(trailing.windows), trailing.windows[-1].end) == (28, found.current.start)
    assert {window.end - window.start for window in trailing.windows} == {DAY_MS}


def test_the_same_days_of_the_week_lie_whole_weeks_before():
    (trailing,) = windows().references
    lags = [(END - trailing.windows[k].end) // DAY_MS for k in trailing.same_weekdays()]
    assert lags == [28, 21, 14, 7]


def test_windows_of_two_days_do_not_reach_into_the_current_one():
    found = windows(window_seconds=2 * DAY_SECONDS)
    assert found.references[0].windows[-1].end <= found.current.start


def test_an_old_training_is_a_reference_of_its_own_and_ends_with_it():
    trained_at = END - 100 * DAY_MS - 5
    training = windows(trained_at).references[1]
    assert training.name == "training"
    assert trained_at - DAY_MS < training.windows[-1].end <= trained_at
    for k in training.same_weekdays():
        assert (END - training.windows[k].end) % (WEEK_DAYS * DAY_MS) == 0


def test_a_training_of_this_week_is_the_trailing_reference():
    assert [one.name for one in windows(END - 3 * DAY_MS).references] == ["trailing"]


def test_the_plan_ends_with_the_newest_event_and_knows_the_champion(shop):
    def plan():
        with read(shop.engine) as connection:
            return plan_comparison(connection, now=shop.now, window_seconds=60, reference_seconds=7 * DAY_SECONDS)

    assert plan() is None
    last = shop.now - 30 * DAY_MS
    shop.act("view", "apple", time=last)
    shop.act("view", "apple", time=shop.now + 1)  # ahead of the clock
    found = plan()
    assert (found.current.start, found.current.end) == (last + 1 - 60_000, last + 1)
    assert [one.name for one in found.references] == ["trailing"]
    as_of = last - 50 * DAY_MS
    counts = {"last_interaction_key": 1, "users": 1, "items": 1, "interactions": 1, "created_at": 1}
    with write(shop.engine) as connection:
        connection.execute(insert(snapshots).values(snapshot_id="s1", as_of=as_of, path="", **counts))
        model = {"model_version": "m1", "kind": "closed_form", "status": "champion", "snapshot_id": "s1", "bundle": ""}
        connection.execute(insert(models).values(created_at=1, **model))
    assert plan().references[1].windows[-1].end <= as_of
