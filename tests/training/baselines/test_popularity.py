"""Popularity as a term: standardised, tuned, and alone where there is no history."""

from math import inf

import numpy as np
import pytest
import torch

from tests.training.checkerboard import DAY_MS, checkerboard, make_log
from training.baselines.gate import RecentPopularity
from training.baselines.popularity import WithPopularity, add_popularity, half_lives, standardise
from training.baselines.tuning import Tuning
from training.data.splits import leave_last_out, temporal
from training.evaluation.ranking import evaluate
from training.terms.trend import Trend


class Steps:
    """The same rising scores for everybody."""

    num_parameters = 5

    def __call__(self, histories, *, as_of):
        return torch.arange(24.0).repeat(len(histories), 1)


class Nothing:
    num_parameters = 5

    def __call__(self, histories, *, as_of):
        return torch.zeros(len(histories), 24)


@pytest.fixture
def waves():
    """On any day eight items are wanted, every third day the oldest of them gives way to a new one."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(40):
        taken: set[int] = set()
        for day in range(51):
            open_items = [item for item in range(day // 3, day // 3 + 8) if item not in taken]
            if open_items and rng.random() < 0.5:
                taken.add(item := int(rng.choice(open_items)))
                rows.append((user, item, day * DAY_MS + user * 1000))
    return temporal(make_log(rows, num_users=40, num_items=24), repeats=False)


@pytest.fixture
def novelties():
    """Every day has an item of its own that everybody takes the day it comes out."""
    rows = [(user, day, day * DAY_MS + user * 1000) for day in range(20) for user in range(20)]
    return temporal(make_log(rows, num_users=20, num_items=24), repeats=False)


def test_standardised_rows():
    rows = standardise(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
    torch.testing.assert_close(rows.mean(dim=1), torch.zeros(2))
    assert rows[0].std(correction=0).item() == pytest.approx(1.0)
    assert torch.equal(rows[1], torch.zeros(3))


def test_the_sum_and_popularity_alone_without_history():
    log = checkerboard()
    popularity = RecentPopularity(Trend.fit(log, (inf,)))
    histories = log.histories(np.array([0, 1, 39]), before=3)  # user 39 comes later
    scores = WithPopularity(Steps(), popularity, 0.5)(histories, as_of=DAY_MS)
    popular = standardise(popularity(histories, as_of=DAY_MS))
    torch.testing.assert_close(scores[:2], standardise(torch.arange(24.0).repeat(2, 1)) + 0.5 * popular[:2])
    torch.testing.assert_close(scores[2], popular[2])


def ended(split, model, **bound):
    tuning = Tuning(split, "x", lambda line, share: None)
    return add_popularity(split, tuning, model, lambda: model, {"colour": "red"}, **bound)


def test_recent_popularity_helps_who_says_nothing(waves):
    helped = ended(waves, Nothing())
    assert float(helped.settings["popularity_weight"]) > 0
    assert float(helped.settings["popularity_half_life_hours"]) < inf
    assert helped.num_parameters == 5 + 24
    assert helped.settings["colour"] == "red"


def test_where_it_says_nothing_it_is_left_out(novelties):
    """Nobody has taken tomorrow's items yet: all unseen ones have count zero."""
    left = ended(novelties, Steps())
    assert left.settings == {"colour": "red", "popularity_weight": 0.0}
    assert left.num_parameters == 5


class Asked(Steps):
    """Counts the users whose scores are asked for, in all and at a time."""

    def __init__(self):
        self.users = 0
        self.most = 0

    def __call__(self, histories, *, as_of):
        self.users += len(histories)
        self.most = max(self.most, len(histories))
        return super().__call__(histories, as_of=as_of) + len(histories.items) % 3


def test_scores_that_do_not_fit_are_computed_again_with_the_same_result(waves, monkeypatch):
    monkeypatch.setattr("training.data.windows.BLOCK_CELLS", 4 * 24)
    users = len(waves.validation)
    found = {}
    for kept_users in (0, 4, 9, users):
        model = Asked()
        found[kept_users] = ended(waves, model, scores_mb=kept_users * 24 * 4 / 1e6 + 1e-9)
        kept = kept_users if kept_users == users else kept_users // 4 * 4  # whole blocks of four users
        assert (model.users, model.most) == (2 * users - kept, 4)
    assert found[users].settings["popularity_weight"] != 0
    lists = {kept: evaluate(one, waves.test).lists.tolist() for kept, one in found.items()}
    for kept, one in found.items():
        assert one.settings == found[users].settings, kept
        assert lists[kept] == lists[users], kept


def test_at_a_time_of_each_shopper():
    split = leave_last_out(checkerboard(), repeats=False)
    popularity = RecentPopularity(Trend.fit(split.known, (24.0,)))
    scores = WithPopularity(Nothing(), popularity, 1.0)(split.test.histories, as_of=split.test.as_of)
    torch.testing.assert_close(scores, standardise(popularity(split.test.histories, as_of=split.test.as_of)))


def test_half_lives_are_shares_of_the_span(novelties):
    lives = half_lives(novelties)
    assert lives[0] == inf
    assert lives[1] == pytest.approx(15 / 4 * 24, rel=0.05)
    assert min(lives) >= 1.0
