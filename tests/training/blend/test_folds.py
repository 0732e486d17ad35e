"""Folds: all users judge, nobody judges their own fit, and the fast way to score variants agrees with the plain one."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.oracle import HOUR_MS, choices_of_an_oracle
from training.blend.blend import by_feature
from training.blend.fit import BlendSettings
from training.blend.folds import folds_of, judged
from training.data.windows import Window

VARIANTS = [
    {"oracle": 1.0, "trend": 1.0},
    {"oracle": 0.4, "trend": 1.0},
    {"oracle": 1.0, "trend": 2.5},
    {"oracle": 0.0, "trend": 1.0},
    {"oracle": 1.0, "trend": 0.0},
    {"oracle": 0.7, "trend": 0.4},
]


@pytest.fixture(scope="module", params=[True, False], ids=["repeats", "new items"])
def world(request):
    """Fifty users have no event before the window."""
    log, oracle, trend = choices_of_an_oracle()
    log = log.take(np.flatnonzero((log.users >= 50) | (log.times == 100 * HOUR_MS)))
    window = Window.cut(log, start=100 * HOUR_MS, repeats=request.param)
    return folds_of([oracle, trend], window, 1, settings=BlendSettings(), memory_mb=64, seed=0), window


def test_the_halves_judge_each_other(world):
    folds, window = world
    assert sorted(np.concatenate([fold.rows for fold in folds]).tolist()) == list(range(len(window)))
    for fold in folds:
        assert not {*fold.learnt.users} & {*fold.judges.users}
        assert window.users[fold.rows].tolist() == fold.judges.users.tolist()


@pytest.mark.parametrize("base", VARIANTS[:4])
def test_variants_of_one_fit_are_scored_as_blends_with_their_multipliers(world, base):
    for fold in world[0]:
        blend = fold.fit()
        variants = {str(number): multipliers for number, multipliers in enumerate(VARIANTS)}
        blends = {
            name: replace(blend, multipliers=by_feature(own, fold.terms, separate_known=blend.separate_known))
            for name, own in variants.items()
        }
        fast, plain = fold.tempered_ndcg(blend, variants, base=base), fold.ndcg(blends)
        for name in variants:
            np.testing.assert_allclose(fast[name], plain[name], atol=1e-6)
        assert len({float(ndcg.mean()) for ndcg in plain.values()}) > 3


def test_what_several_divisions_reached_is_their_mean(world):
    folds, window = world
    half = len(folds[0].rows)
    reached = [{"sum": np.zeros(half)}, {"sum": np.ones(len(window) - half)}]
    assert judged([*folds, *folds], [*reached, *reached])["sum"].mean() == pytest.approx(1 - half / len(window))
