"""The blend search: enough users choose the best variant, too few leave the default."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.checkerboard import DAY_MS, checkerboard
from training import blend_search
from training.blend_search import (
    FEWEST_USERS,
    FOCUSES,
    LOOSE,
    MEMORIES,
    REGULARISATIONS,
    TREND_SPAN_SHARES,
    BlendSearch,
    best,
)
from training.filter_bank import FilterBank
from training.splits import leave_last_out, temporal


@pytest.fixture(scope="module")
def search() -> BlendSearch:
    return BlendSearch.of(leave_last_out(checkerboard(bought=6), repeats=False), memory_mb=64, seed=0)


def test_enough_users_choose_the_best_of_the_variants():
    scores = [np.full(FEWEST_USERS, mean) for mean in (0.1, 0.3, 0.2)]
    assert best(scores) == 1
    assert best([scores[1], scores[1]]) == 0


def test_too_few_leave_the_default():
    assert best([np.full(FEWEST_USERS - 1, mean) for mean in (0.1, 0.3, 0.2)]) == 0
    assert best([np.empty(0), np.empty(0)]) == 0


def test_a_small_window_takes_the_defaults_and_ranks_nothing(search, monkeypatch):
    def ranked(self, terms, settings):
        raise AssertionError("no variant need be ranked")

    monkeypatch.setattr(BlendSearch, "out_of_fold", ranked)
    assert len(search.window) < FEWEST_USERS
    bank = search.best_bank()
    assert bank.half_lives == MEMORIES[0]
    assert [one.settings.regularisation for one in bank.filters] == [REGULARISATIONS[0]]
    trend = search.with_best_trend(bank).others[0]
    assert len(trend.half_lives_hours) == len(TREND_SPAN_SHARES[0]) + 1


def test_a_large_window_takes_what_ranks_best(search, monkeypatch):
    monkeypatch.setattr(blend_search, "FEWEST_USERS", len(search.window))
    bank = search.best_bank()
    reached = {
        memory: search.out_of_fold([FilterBank(bank.filters[:1], memory), *search.others], LOOSE).mean()
        for memory in MEMORIES
    }
    assert reached[bank.half_lives] == max(reached.values())


def test_the_focus_that_ranks_best_is_taken_where_users_have_many_targets(search, monkeypatch):
    def ranked(self, terms, settings):
        asked.append(settings.focus)
        return np.full(len(self.window), 0.5 + 0.1 * settings.focus)

    asked: list[float] = []
    monkeypatch.setattr(BlendSearch, "out_of_fold", ranked)
    log = checkerboard(bought=12)
    in_pairs = replace(log, times=log.times // (2 * DAY_MS))
    many = BlendSearch.of(temporal(in_pairs, repeats=False), memory_mb=64, seed=0)
    assert len(many.window.targets) > len(many.window)
    assert many.best_settings(many.others)[0].focus == FOCUSES[0]  # too few users
    monkeypatch.setattr(blend_search, "FEWEST_USERS", min(len(search.window), len(many.window)))
    assert many.best_settings(many.others)[0].focus == 1.0
    assert set(FOCUSES) == set(asked)
    asked.clear()
    assert search.best_settings(search.others)[0].focus == FOCUSES[0]  # one target a user: all are the same
    assert set(asked) == {FOCUSES[0]}
