"""ALS folds shoppers in by the closed form, and says what to install."""

import sys
from math import inf

import numpy as np
import pytest
import torch

from graphstore.errors import MissingExtra
from tests.training.checkerboard import DAY_MS, checkerboard
from training.baselines import factorisation
from training.baselines.contenders import BASELINES
from training.baselines.factorisation import Als, AlsSettings
from training.data.splits import leave_last_out
from training.options import TrainingOptions


def test_als_solves_for_a_shopper(monkeypatch):
    log = checkerboard()
    items = torch.randn(24, 5, generator=torch.Generator().manual_seed(2))
    settings = AlsSettings(alpha=3.0, regularisation=0.7, profile_half_life=2.0)
    histories = log.histories(np.arange(40), before=3 * DAY_MS)
    scores = Als(items, 40, settings)(histories, as_of=0)
    taken = histories.block(4, 5).items[::-1].copy()
    weights = 0.5 ** (torch.arange(3.0) / 2)
    mine = items[torch.from_numpy(taken)]
    system = items.T @ items + 0.7 * torch.eye(5) + 3.0 * (mine.T * weights) @ mine
    vector = torch.linalg.solve(system, 4.0 * (weights[:, None] * mine).sum(dim=0))
    torch.testing.assert_close(scores[4], items @ vector, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(factorisation, "SYSTEM_CELLS", 75)  # three shoppers at a time
    torch.testing.assert_close(Als(items, 40, settings)(histories, as_of=0), scores)


def test_als_says_nothing_without_a_history():
    log = checkerboard()
    model = Als(torch.ones(24, 5), 40, AlsSettings(profile_half_life=inf))
    assert torch.equal(model(log.histories(np.array([3]), before=0), as_of=0), torch.zeros(1, 24))


@pytest.mark.parametrize("name", ["als", "bpr"])
def test_a_missing_library_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "implicit", None)
    split = leave_last_out(checkerboard(), repeats=False)
    with pytest.raises(MissingExtra, match=r"\[benchmark\]"):
        BASELINES[name](split, TrainingOptions(seed=0))


def test_bpr_takes_the_passes_that_it_reports(monkeypatch):
    def spied(*arguments, iterations, **settings):
        asked.append(iterations)
        return fitted(*arguments, iterations=iterations, **settings)

    asked: list[int] = []
    fitted = factorisation.fit_implicit
    monkeypatch.setattr(factorisation, "fit_implicit", spied)
    split = leave_last_out(checkerboard(), repeats=False)
    monkeypatch.setattr(factorisation, "BPR_DRAWS", 40 * len(split.past))  # 40 passes are the most
    model = BASELINES["bpr"](split, TrainingOptions(seed=0))
    assert set(asked) == {30, 40}
    assert model.settings["iterations"] == asked[-1]  # the last fit is on all that is known
