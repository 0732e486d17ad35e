"""The selection: the sum is never below its best part on the users that it is judged by, and a spoiler is silenced."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.oracle import HOUR_MS, choices_of_an_oracle
from training.blend import folds, selection
from training.blend.fit import BlendSettings, fit_blend
from training.blend.selection import ALL, CHOSEN, SMALL_L2, clearly_better, fit_selected, penalty_of_few, select
from training.data.windows import Window
from training.evaluation.ranking import METRIC, evaluate
from training.models.candidate import Candidate

SETTINGS = BlendSettings(l2=1e-3)


@pytest.fixture(scope="module")
def world():
    log, oracle, trend = choices_of_an_oracle()
    return [oracle, trend], Window.cut(log, start=100 * HOUR_MS, repeats=True)


@pytest.mark.parametrize("refit", [True, False])
def test_the_chosen_sum_is_never_below_its_parts(world, refit):
    terms, window = world
    found = select(terms, window, settings=SETTINGS, memory_mb=64, seed=0, refit=refit)
    parts = [found.ndcg[name] for name in found.ndcg if name != CHOSEN]
    assert found.ndcg[CHOSEN] >= max(parts)
    assert found.per_user.mean() == pytest.approx(found.ndcg[CHOSEN])
    assert len(found.per_user) == len(window)


def test_one_term_has_nothing_to_choose(world):
    (oracle, _), window = world
    assert select([oracle], window, settings=SETTINGS, memory_mb=64, seed=0).multipliers == {"oracle": 1.0}


def test_a_term_alone_is_chosen_where_the_others_only_spoil_it(world, monkeypatch):
    """Blends of several terms have the sign of their weights turned, as a likelihood that pays for something else."""
    terms, window = world

    def spoiling(terms, window, *, settings, multipliers, blocks):
        blend = fit_blend(terms, window, settings=settings, multipliers=multipliers, blocks=blocks)
        counting = sum(value > 0 for value in multipliers.values())
        turned = tuple(-weight for weight in blend.warm)
        return replace(blend, warm=turned, activity=(0.0,) * len(turned), cold=None) if counting > 1 else blend

    monkeypatch.setattr(folds, "fit_blend", spoiling)
    found = select(terms, window, settings=SETTINGS, memory_mb=64, seed=0)
    assert found.multipliers == {"oracle": 1.0, "trend": 0.0}
    assert found.ndcg[ALL] < found.ndcg[CHOSEN] == found.ndcg["oracle"]


def test_without_refits_a_spoiler_is_silenced_by_two_fits(world, monkeypatch):
    """The trend's weights are turned: it spoils the sum, whose other weights serve the oracle alone."""
    terms, window = world
    fits = 0

    def spoiling(terms, window, *, settings, multipliers=None, blocks=None):
        nonlocal fits
        fits += 1
        blend = fit_blend(terms, window, settings=settings, multipliers=multipliers, blocks=blocks)
        return replace(blend, warm=(*blend.warm[:2], -9.0, -9.0), activity=(0.0,) * len(blend.warm), cold=None)

    monkeypatch.setattr(folds, "fit_blend", spoiling)
    found = select(terms, window, settings=SETTINGS, memory_mb=64, seed=0, refit=False)
    assert fits == 2
    assert found.multipliers == {"oracle": 1.0, "trend": 0.0}
    assert found.ndcg[ALL] < found.ndcg[CHOSEN]


def test_a_term_that_counts_too_much_counts_less(world, monkeypatch):
    terms, window = world

    def loud(terms, window, *, settings, multipliers, blocks):
        blend = fit_blend(terms, window, settings=settings, multipliers=multipliers, blocks=blocks)
        if not all(multipliers.values()):
            return replace(blend, warm=tuple(-weight for weight in blend.warm), activity=(0.0,) * 4, cold=None)
        return replace(blend, warm=(blend.warm[0], 0.0, 2 * blend.warm[0], 0.0), activity=(0.0,) * 4, cold=None)

    monkeypatch.setattr(folds, "fit_blend", loud)
    found = select(terms, window, settings=SETTINGS, memory_mb=64, seed=0)
    assert found.multipliers["trend"] < found.multipliers["oracle"]
    assert found.ndcg[CHOSEN] > found.ndcg[ALL]
    once = select(terms, window, settings=SETTINGS, memory_mb=64, seed=0, another_round=lambda rounds: rounds < 1)
    assert sorted(value == 1.0 for value in once.multipliers.values()) == [False, True]
    assert found.ndcg[CHOSEN] >= once.ndcg[CHOSEN] > once.ndcg[ALL]
    assert once.rounds == 1
    none = select(terms, window, settings=SETTINGS, memory_mb=64, seed=0, another_round=lambda _: False)
    assert none.multipliers == {"oracle": 1.0, "trend": 1.0}
    monkeypatch.setattr(selection, "MIN_USERS", len(window) + 1)
    assert select(terms, window, settings=SETTINGS, memory_mb=64, seed=0).multipliers == {"oracle": 1.0, "trend": 1.0}


def test_the_blend_scores_with_the_multipliers_and_the_rest_of_it_is_as_without(world):
    terms, window = world
    plain = fit_blend(terms, window, settings=SETTINGS)
    half = fit_blend(terms, window, settings=SETTINGS, multipliers={"trend": 0.5})
    assert (half.warm, half.multipliers) == (plain.warm, (1.0, 1.0, 0.5, 0.5))
    weights = np.array([[1.0, 1.0, 0.5, 0.5]], dtype=np.float32)
    lengths = np.array([0, 1, 20])
    assert torch.equal(half.weights(lengths)[1:], plain.weights(lengths)[1:] * torch.from_numpy(weights))
    assert torch.equal(half.weights(lengths)[0], plain.weights(lengths)[0])  # who has no events has only the trend
    assert type(half).from_json(half.to_json()) == half


def test_a_term_with_zero_has_no_part_in_the_likelihood_and_an_update_keeps_it_so(world):
    terms, window = world
    alone = fit_blend(terms[:1], window, settings=SETTINGS)
    without = fit_blend(terms, window, settings=SETTINGS, multipliers={"trend": 0.0})
    assert without.warm == pytest.approx((*alone.warm, 0.0, 0.0), abs=1e-3)
    updated = fit_blend(terms, window, settings=SETTINGS, anchor=without)
    assert (updated.warm[2], updated.multipliers) == (0.0, without.multipliers)
    scores = Candidate(terms, without)(window.histories, as_of=window.as_of)
    warm = window.lengths() > 0
    expected = Candidate(terms[:1], alone)(window.histories, as_of=window.as_of)
    assert torch.allclose(scores[warm], expected[warm], atol=1e-2)


def test_the_blend_is_fitted_with_what_was_selected(world):
    terms, window = world
    blend, found = fit_selected(terms, window, settings=SETTINGS, memory_mb=64, seed=0)
    assert blend.multipliers == tuple(found.multipliers[name] for name in ("oracle", "oracle", "trend", "trend"))
    assert evaluate(Candidate(terms, blend), window).metrics()[METRIC] > found.ndcg["trend"]


def test_a_small_window_is_divided_several_times_and_each_user_counts_once(world, monkeypatch):
    terms, window = world
    several = select(terms, window, settings=SETTINGS, memory_mb=64, seed=0).per_user
    monkeypatch.setattr(selection, "FEW_USERS", 1)
    once = select(terms, window, settings=SETTINGS, memory_mb=64, seed=0).per_user
    assert len(once) == len(several) == len(window)
    assert not np.array_equal(once, several)


def test_clearly_is_a_standard_error_of_the_differences():
    other = np.zeros(100)
    assert not clearly_better(other, other)
    assert not clearly_better(np.tile([1.0, -0.9], 50), other)  # 0.05, and its standard error is 0.095
    assert clearly_better(np.tile([1.0, -0.7], 50), other)  # 0.15 and 0.085
    assert not clearly_better(other, np.tile([1.0, -0.7], 50))


def test_few_users_leave_the_strong_penalty_only_for_one_that_is_clearly_better(world, monkeypatch):
    """With a strong penalty the weights are turned, in the second case; in the first both rank alike."""
    terms, window = world
    few = window.take(np.arange(60))

    def turned(terms, window, *, settings, blocks):
        blend = fit_blend(terms, window, settings=settings, blocks=blocks)
        assert settings.unknown_l2 == settings.l2
        spoilt = settings.l2 == SMALL_L2
        return replace(blend, warm=tuple(-weight for weight in blend.warm), cold=None) if spoilt else blend

    def chosen() -> float:
        return penalty_of_few(terms, few, settings=replace(SETTINGS, l2=0.4), memory_mb=64, seed=0)

    assert chosen() == SMALL_L2
    monkeypatch.setattr(folds, "fit_blend", turned)
    assert chosen() == 0.4
    assert penalty_of_few(terms, window.take([0]), settings=SETTINGS, memory_mb=64, seed=0) == SMALL_L2
