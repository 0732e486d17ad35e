"""Splits: nothing that a model is fitted or tuned on holds what it is judged on."""

import numpy as np
import pytest
from hypothesis import given as property_of
from hypothesis import settings
from hypothesis import strategies as st

from tests.training.checkerboard import checkerboard, make_log
from training.data.dataset import TooFewEvents
from training.data.event_log import EventLog
from training.data.splits import HELD_OUT_SHARE, EvaluationSplit, given, leave_last_out, temporal
from training.data.windows import Window

USERS, ITEMS = 6, 5

events = st.lists(
    st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), st.integers(0, 12)), min_size=1, max_size=60
)


def log_of(rows: list[tuple[int, int, int]]) -> EventLog:
    return make_log(rows, num_users=USERS, num_items=ITEMS)


def cells(log: EventLog) -> set[tuple[int, int]]:
    return set(zip(log.users.tolist(), log.items.tolist(), strict=True))


def rows(log: EventLog) -> list[tuple[int, int, int]]:
    return sorted(zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), strict=True))


def targets(window: Window) -> set[tuple[int, int]]:
    owners = np.repeat(window.users, np.diff(window.offsets))
    return set(zip(owners.tolist(), window.targets.tolist(), strict=True))


def seen(window: Window) -> set[tuple[int, int]]:
    owners = window.users[window.histories.rows()]
    return set(zip(owners.tolist(), window.histories.items.tolist(), strict=True))


def assert_nothing_leaks(split: EvaluationSplit) -> None:
    """What must hold of any split without repeats."""
    assert not targets(split.test) & cells(split.known)
    assert not targets(split.validation) & cells(split.past)
    assert not targets(split.test) & cells(split.past)
    assert not targets(split.test) & seen(split.test)
    assert not targets(split.validation) & seen(split.validation)
    assert not targets(split.test) & (targets(split.validation) | seen(split.validation))
    for window in (split.validation, split.test):
        moments = np.broadcast_to(window.as_of, len(window))
        assert (window.histories.times < moments[window.histories.rows()]).all() or split.name == "leave-last-out"
        assert (window.histories.times <= moments[window.histories.rows()]).all()
        assert (np.diff(window.offsets) > 0).all()


@settings(max_examples=60, deadline=None)
@property_of(events)
def test_no_split_without_repeats_leaks(found: list[tuple[int, int, int]]) -> None:
    log = log_of(found)
    for divide in (temporal, leave_last_out):
        try:
            split = divide(log, repeats=False)
        except TooFewEvents:
            continue
        assert_nothing_leaks(split)
        assert set(rows(split.past)) <= set(rows(split.known)) <= set(rows(log))


def test_a_temporal_split_cuts_between_times() -> None:
    log = checkerboard()
    split = temporal(log, repeats=True)
    validation, test = split.validation.as_of, split.test.as_of
    assert isinstance(validation, int)
    assert isinstance(test, int)
    assert split.past.times.max() < validation <= split.known.times.max() < test
    assert len(split.known) == pytest.approx(0.9 * len(log), abs=2)
    assert len(split.past) == pytest.approx(0.8 * len(log), abs=2)
    assert targets(split.test) == cells(log.between(start=test))
    assert rows(split.past) == rows(log.between(end=validation))


def test_a_fit_on_all_that_is_known_takes_as_many_passes() -> None:
    split = temporal(checkerboard(bought=8), repeats=False)
    steps = split.refit_steps(1000)
    assert steps / len(split.known) == pytest.approx(1000 / len(split.past), rel=1e-3)
    assert steps > 1000
    assert split.refit_steps(0) == 1


@pytest.mark.parametrize("found", [[], [(0, 0, 5)] * 20, [(0, 0, 1), (1, 1, 1), (2, 2, 2)]])
def test_a_log_that_cannot_be_cut_by_time_is_refused(found: list[tuple[int, int, int]]) -> None:
    with pytest.raises(TooFewEvents):
        temporal(log_of(found), repeats=True)


@settings(max_examples=60, deadline=None)
@property_of(events, st.booleans(), st.integers(0, 3))
def test_the_last_event_of_each_user_is_the_test(found: list[tuple[int, int, int]], repeats: bool, seed: int) -> None:
    log = log_of(found)
    first: dict[tuple[int, int], int] = {}
    for user, item, time in rows(log):
        first[user, item] = min(time, first.get((user, item), time))
    counted = [(user, time) for (user, _), time in first.items()] if not repeats else [(u, t) for u, _, t in rows(log)]
    times = {user: sorted(time for owner, time in counted if owner == user) for user in range(USERS)}
    long = [user for user in range(USERS) if len(times[user]) >= 3]
    if not long:
        with pytest.raises(TooFewEvents):
            leave_last_out(log, repeats=repeats, seed=seed)
        return
    split = leave_last_out(log, repeats=repeats, seed=seed)
    assert split.test.users.tolist() == split.validation.users.tolist() == long
    for place, user in enumerate(long):
        assert split.test.as_of[place] == times[user][-1]
        assert split.validation.as_of[place] == times[user][-2]
        assert np.diff(split.test.histories.offsets)[place] == len(times[user]) - 1
        assert np.diff(split.validation.histories.offsets)[place] == len(times[user]) - 2
    kept = len(counted)
    assert (len(split.known), len(split.past)) == (kept - len(long), kept - 2 * len(long))
    short = [(user, time) for user, time in counted if user not in long]
    assert sorted((u, t) for u, _, t in rows(split.past) if u not in long) == sorted(short)


def test_ties_in_time_are_broken_at_random_and_by_the_seed() -> None:
    log = log_of([(0, item, 7) for item in range(ITEMS)])
    last = [leave_last_out(log, repeats=False, seed=seed).test.targets.tolist() for seed in range(40)]
    assert {item for (item,) in last} == set(range(ITEMS))
    assert leave_last_out(log, repeats=False, seed=3).test.targets.tolist() == last[3]


def test_histories_of_a_user_stand_in_order_of_time() -> None:
    split = leave_last_out(checkerboard(), repeats=False)
    for window in (split.validation, split.test):
        starts = window.histories.offsets[:-1]
        rises = np.diff(window.histories.times) >= 0
        assert rises[np.setdiff1d(np.arange(len(rises)), starts[1:] - 1)].all()


def given_logs() -> tuple[EventLog, EventLog]:
    rng = np.random.default_rng(1)
    pairs = rng.permutation([(user, item) for user in range(20) for item in range(60)])[:700]
    made = [(int(user), int(item), time) for time, (user, item) in enumerate(pairs)]
    return (
        make_log(made[:600], num_users=20, num_items=60),
        make_log(made[600:], num_users=20, num_items=60),
    )


@pytest.mark.parametrize("timed", [True, False])
def test_a_given_split_keeps_the_test_and_holds_a_tenth_of_each_user_out(timed: bool) -> None:
    train, test = given_logs()
    split = given(train, test, timed=timed, seed=2)
    assert targets(split.test) == cells(test)
    assert cells(split.known) == cells(train)
    assert cells(split.past) | targets(split.validation) == cells(train)
    assert not cells(split.past) & targets(split.validation)
    assert seen(split.test) <= cells(train)
    lengths = np.bincount(train.users, minlength=20)
    held = np.bincount([user for user, _ in targets(split.validation)], minlength=20)
    assert set((held - np.floor(HELD_OUT_SHARE * lengths)).tolist()) == {0, 1}
    assert (split.name, split.timed) == ("given", timed)
    assert (np.diff(split.known.times) >= 0).all()
    assert (np.diff(split.past.times) >= 0).all()
    assert (split.known.times < split.test.as_of).all()


def test_a_given_split_asks_for_no_item_of_the_training_set() -> None:
    train, test = given_logs()
    both = make_log(
        [*rows(test), (int(train.users[0]), int(train.items[0]), 999)], num_users=train.num_users, num_items=60
    )
    assert targets(given(train, both, timed=False).test) == cells(test)


def test_a_given_split_without_test_is_refused() -> None:
    train, test = given_logs()
    with pytest.raises(TooFewEvents):
        given(train, test.between(end=0), timed=False)
    with pytest.raises(TooFewEvents):  # nobody has two events
        given(log_of([(0, 1, 1), (1, 2, 2)]), test, timed=False)


def test_an_untimed_split_orders_each_user_at_random() -> None:
    train = make_log([(0, item, item) for item in range(60)], num_users=1, num_items=61)
    test = make_log([(0, 60, 61)], num_users=1, num_items=61)
    mixed = given(train, test, timed=False, seed=1).known
    assert mixed.items.tolist() != sorted(mixed.items.tolist())
    assert given(train, test, timed=True, seed=1).known.items.tolist() == train.items.tolist()


def test_the_horizon_is_the_length_of_the_validation_window() -> None:
    log = make_log([(time % 6, time % 5, time * time) for time in range(40)], num_users=USERS, num_items=ITEMS)
    split = temporal(log, repeats=True)
    assert split.horizon_ms == 36 * 36 - 32 * 32
    assert leave_last_out(log, repeats=True).horizon_ms is None
    assert given(log.between(end=900), log.between(start=900), timed=True).horizon_ms is None
