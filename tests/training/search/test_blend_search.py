"""The blend search: enough users choose the best variant, too few leave the default."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.checkerboard import DAY_MS, checkerboard, make_log
from training.blend.selection import Selection
from training.data.event_log import EventLog
from training.data.splits import leave_last_out, temporal
from training.data.windows import Window
from training.features.items import NUMBER_COLUMNS
from training.search import blend_search
from training.search.blend_search import (
    FIRST_L2,
    FOCUSES,
    L2,
    MEMORIES,
    MIN_USERS,
    REGULARISATIONS,
    ROUNDS_SHARE,
    TREND_SPAN_SHARES,
    BlendSearch,
    best_index,
)
from training.search.budget import SearchBudget
from training.terms.als import AlsTerm
from training.terms.content import Content
from training.terms.filter_bank import FilterBank
from training.terms.habit.examples import HabitSettings
from training.terms.habit.term import Habit
from training.terms.linear_filter import LinearFilter
from training.terms.protocol import find_term

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def search() -> BlendSearch:
    return BlendSearch.of(leave_last_out(checkerboard(bought=6), repeats=False), memory_mb=64, seed=0)


def better_by(gain, kind):
    """Ranks that rise by so much where a term of that kind is in the sum."""
    return lambda self, terms, l2: np.full(len(self.window), 0.5 + gain * any(isinstance(term, kind) for term in terms))


def test_enough_users_choose_the_best_of_the_variants():
    scores = [np.full(MIN_USERS, mean) for mean in (0.1, 0.3, 0.2)]
    assert best_index(scores) == 1
    assert best_index([scores[1], scores[1]]) == 0


def test_too_few_leave_the_default():
    assert best_index([np.full(MIN_USERS - 1, mean) for mean in (0.1, 0.3, 0.2)]) == 0
    assert best_index([np.empty(0), np.empty(0)]) == 0


def test_a_small_window_takes_the_defaults_and_ranks_nothing(search, monkeypatch):
    def ranked(self, terms, l2):
        raise AssertionError("no variant need be ranked")

    monkeypatch.setattr(BlendSearch, "out_of_fold", ranked)
    assert len(search.window) < MIN_USERS
    bank = search.best_bank()
    assert bank.half_lives == MEMORIES[0]
    assert [one.settings.regularisation for one in bank.filters] == [REGULARISATIONS[0]]
    trend = search.with_best_trend(bank).others[0]
    assert len(trend.half_lives_hours) == len(TREND_SPAN_SHARES[0]) + 1


def test_a_small_window_has_the_penalty_that_its_users_choose(search, monkeypatch):
    given = []

    def penalty(terms, window, *, settings, memory_mb, seed):
        given.append((list(terms), window, settings.l2))
        return 0.3

    monkeypatch.setattr(blend_search, "penalty_of_few", penalty)
    settings = search.best_l2(search.others)
    assert (settings.l2, settings.unknown_l2) == (0.3, 0.3)
    assert given == [(search.others, search.window, L2[0])]


def test_a_large_window_takes_what_ranks_best(search, monkeypatch):
    monkeypatch.setattr(blend_search, "MIN_USERS", len(search.window))
    bank = search.best_bank()
    reached = {
        memory: search.out_of_fold([FilterBank(bank.filters[:1], memory), *search.others], FIRST_L2).mean()
        for memory in MEMORIES
    }
    assert reached[bank.half_lives] == max(reached.values())


def test_the_focus_that_ranks_best_is_taken_where_users_have_many_targets(search, monkeypatch):
    def ranked(self, terms, l2):
        asked.append(self.focus)
        return np.full(len(self.window), 0.5 + 0.1 * self.focus)

    asked: list[float] = []
    monkeypatch.setattr(BlendSearch, "out_of_fold", ranked)
    log = checkerboard(bought=12)
    in_pairs = replace(log, times=log.times // (2 * DAY_MS))
    many = BlendSearch.of(temporal(in_pairs, repeats=False), memory_mb=64, seed=0)
    assert len(many.window.targets) > len(many.window)
    bank = many.best_bank()
    assert many.with_best_focus(bank).focus == FOCUSES[0]  # too few users
    monkeypatch.setattr(blend_search, "MIN_USERS", min(len(search.window), len(many.window)))
    focused = many.with_best_focus(bank)
    assert focused.focus == focused.best_l2(focused.others).focus == 1.0
    assert set(FOCUSES) == set(asked)
    assert search.with_best_focus(bank).focus == FOCUSES[0]  # one target a user: all are the same


def test_a_factorisation_joins_where_it_ranks_better_and_never_with_repeats(search, monkeypatch):
    monkeypatch.setattr(blend_search, "MIN_USERS", len(search.window))
    bank = FilterBank([LinearFilter.fit(search.split.past)])
    for gain in (0.1, -0.1):
        monkeypatch.setattr(BlendSearch, "out_of_fold", better_by(gain, AlsTerm))
        chosen = search.with_best_factorisation(bank)
        assert (find_term(chosen.others, AlsTerm) is not None) == (gain > 0)
        if gain > 0:
            again = find_term(chosen.refit_others(search.split.known), AlsTerm)
            assert again is not None
            assert again.settings == chosen.others[-1].settings
    monkeypatch.setattr(BlendSearch, "out_of_fold", better_by(0.1, AlsTerm))
    repeated = BlendSearch.of(temporal(checkerboard(bought=8), repeats=True), memory_mb=64, seed=0)
    assert repeated.with_best_factorisation(bank) is repeated


def weekly_shop(*, num_users: int = 100) -> EventLog:
    """Each shopper buys three of six items every week for twenty weeks, each item on a weekday of its own."""
    rng = np.random.default_rng(0)
    rows = [
        (user, int(item), (7 * week + int(item)) * DAY_MS + user)
        for user in range(num_users)
        for item in rng.choice(6, 3, replace=False)
        for week in range(20)
    ]
    return make_log(rows, num_users=num_users, num_items=6)


def test_habits_join_where_they_rank_better_and_are_fitted_again_on_all_that_is_known(monkeypatch):
    search = BlendSearch.of(temporal(weekly_shop(), repeats=True), memory_mb=64, seed=0)
    bank = FilterBank([LinearFilter.fit(search.split.past)])
    assert search.with_best_habit(bank) is search  # too few users
    monkeypatch.setattr(blend_search, "MIN_USERS", len(search.window))
    for gain in (0.1, 0.0, -0.1):
        monkeypatch.setattr(BlendSearch, "out_of_fold", better_by(gain, Habit))
        chosen = search.with_best_habit(bank)
        assert (find_term(chosen.others, Habit) is not None) == (gain > 0)
        assert not chosen.left_out
        if gain > 0:
            again = find_term(chosen.refit_others(search.split.known), Habit)
            assert again is not None
            assert again.settings == chosen.others[-1].settings == HabitSettings(search.split.horizon_ms)


def test_habits_are_offered_only_for_repeats_in_time_and_a_past_without_them_is_told(search, monkeypatch):
    monkeypatch.setattr(blend_search, "MIN_USERS", 1)
    bank = FilterBank([LinearFilter.fit(search.split.past)])
    monkeypatch.setattr(BlendSearch, "out_of_fold", better_by(0.1, Habit))
    assert search.with_best_habit(bank) is search
    for split in (temporal(weekly_shop(), repeats=False), leave_last_out(weekly_shop(num_users=20), repeats=True)):
        one = BlendSearch.of(split, memory_mb=64, seed=0)
        assert one.with_best_habit(bank) is one
    few = BlendSearch.of(temporal(weekly_shop(num_users=5), repeats=True), memory_mb=64, seed=0)
    left = few.with_best_habit(bank)
    assert left.others == few.others
    assert "a habit model needs 1000" in left.left_out[Habit.name]


def test_known_shoppers_and_cold_users_choose_a_penalty_each(search, monkeypatch):
    def ranked(self, terms, l2):
        return np.where(self.window.lengths() == 0, l2, -l2)

    monkeypatch.setattr(BlendSearch, "out_of_fold", ranked)
    monkeypatch.setattr(blend_search, "MIN_USERS", 1)
    log = checkerboard(bought=6)
    rows = np.flatnonzero((log.users % 3 > 0) | (log.times > 4 * DAY_MS))  # a third comes late
    mixed = Window.cut(log.take(rows), start=4 * DAY_MS, repeats=False)
    assert 0 < (mixed.lengths() == 0).sum() < len(mixed)
    chosen = replace(search, window=mixed).best_l2(search.others)
    assert (chosen.l2, chosen.unknown_l2) == (min(L2), max(L2))


def test_content_joins_where_it_ranks_better(search, monkeypatch):
    monkeypatch.setattr(blend_search, "MIN_USERS", len(search.window))
    bank = FilterBank([LinearFilter.fit(search.split.past)])
    described = torch.eye(search.split.num_items, search.split.num_items + NUMBER_COLUMNS)
    for gain in (0.1, -0.1):
        monkeypatch.setattr(BlendSearch, "out_of_fold", better_by(gain, Content))
        chosen = search.with_best_content(bank, described)
        assert (find_term(chosen.others, Content) is not None) == (gain > 0)
    assert search.with_best_content(bank, torch.zeros(search.split.num_items, 0)) is search


def test_rounds_of_multipliers_ask_the_budget_and_a_sum_gets_as_many_as_the_one_it_is_compared_with(
    search, monkeypatch
):
    """The fit tells what each of four rounds would be answered."""
    monkeypatch.setattr(blend_search, "fit_selected", lambda *_, another_round, **__: [*map(another_round, range(4))])
    now = [0.0]
    bounded = replace(search, budget=SearchBudget.start(10.0, clock=lambda: now[0]))
    settings = bounded.best_l2(search.others)
    assert bounded.blend(search.others, settings) == [True] * 4
    now[0] = 10.0 * ROUNDS_SHARE
    assert bounded.blend(search.others, settings) == [False] * 4
    assert bounded.budget.refused == ["more rounds of multipliers"]
    compared = Selection({}, rounds=2)
    assert bounded.blend(search.others, settings, compared=compared) == [True, True, False, False]
