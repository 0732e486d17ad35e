"""Full ranking against a brute force that reads like the definitions."""

from math import log2

import numpy as np
import pytest
import torch

from tests.training.checkerboard import make_log
from training.data.windows import Window
from training.evaluation.ranking import evaluate, top_k

NUM_USERS, NUM_ITEMS = 9, 12


@pytest.fixture
def log():
    rng = np.random.default_rng(3)
    rows = [(int(u), int(i), int(t)) for u, i, t in zip(*rng.integers(0, [[9], [12], [100]], (3, 90)), strict=True)]
    return make_log([row for row in rows if row[0] != 8 or row[2] >= 60], num_users=NUM_USERS, num_items=NUM_ITEMS)


class FixedScores:
    """A table [num_users, num_items], read by the users' order in the window."""

    def __init__(self, window: Window) -> None:
        self.table = torch.from_numpy(np.random.default_rng(5).normal(size=(NUM_USERS, NUM_ITEMS))).float()
        self.left = list(window.users)

    def __call__(self, histories, *, as_of):
        rows, self.left = self.left[: len(histories)], self.left[len(histories) :]
        return self.table[rows]


@pytest.mark.parametrize("repeats", [True, False])
def test_it_agrees_with_a_brute_force(log, repeats, monkeypatch):
    monkeypatch.setattr("training.data.windows.BLOCK_CELLS", 4 * NUM_ITEMS)  # several blocks
    window = Window.cut(log, start=60, end=90, repeats=repeats)
    scorer = FixedScores(window)
    result = evaluate(scorer, window, cutoffs=(3, 20))
    events = list(zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), strict=True))
    for place, user in enumerate(result.users):
        seen = {i for u, i, t in events if u == user and t < 60}
        targets = {i for u, i, t in events if u == user and 60 <= t < 90} - (set() if repeats else seen)
        ranking = sorted(
            (i for i in range(NUM_ITEMS) if repeats or i not in seen), key=lambda i: -float(scorer.table[user, i])
        )
        for k in (3, 20):
            hits = [i in targets for i in ranking[:k]]
            dcg = sum(1 / log2(rank + 2) for rank, hit in enumerate(hits) if hit)
            ideal = sum(1 / log2(rank + 2) for rank in range(min(k, len(targets))))
            assert result.per_user[f"ndcg@{k}"][place] == pytest.approx(dcg / ideal)
            assert result.per_user[f"recall@{k}"][place] == pytest.approx(sum(hits) / len(targets))
            assert result.per_user[f"precision@{k}"][place] == pytest.approx(sum(hits) / k)
            assert result.per_user[f"hit_rate@{k}"][place] == float(any(hits))
    expected = {u for u, i, t in events if 60 <= t < 90}
    assert set(result.users) <= expected
    assert not repeats or set(result.users) == expected


def test_warm_and_cold_shoppers_apart(log):
    window = Window.cut(log, start=60, repeats=True)
    result = evaluate(FixedScores(window), window)
    assert result.cold.tolist() == [user == 8 for user in result.users]  # user 8 came in the window
    metrics = result.metrics()
    assert metrics["cold_ndcg@20"] == result.per_user["ndcg@20"][-1]
    mean = (metrics["warm_ndcg@20"] * (len(window) - 1) + metrics["cold_ndcg@20"]) / len(window)
    assert metrics["ndcg@20"] == pytest.approx(mean)
    assert metrics["users"] == len(window)


def test_coverage_and_finite(log):
    window = Window.cut(log, start=60, repeats=True)

    def same_for_all(histories, *, as_of):
        return torch.arange(NUM_ITEMS).float().repeat(len(histories), 1)

    def sometimes_nan(histories, *, as_of):
        return torch.full((len(histories), NUM_ITEMS), torch.nan)

    result = evaluate(same_for_all, window, cutoffs=(3,))
    assert result.coverage == 3 / NUM_ITEMS
    assert result.finite
    assert not evaluate(sometimes_nan, window).finite


def test_an_empty_window_and_a_sample(log):
    empty = Window.cut(log, start=1000, repeats=True)
    assert len(empty) == 0
    assert evaluate(FixedScores(empty), empty).metrics()["ndcg@20"] == 0.0
    whole = Window.cut(log, start=60, repeats=True)
    sample = Window.cut(log, start=60, repeats=True, max_users=4, seed=1)
    assert len(sample) == 4
    for place, user in enumerate(sample.users):
        there = int(np.flatnonzero(whole.users == user)[0])
        ours = sample.targets[sample.offsets[place] : sample.offsets[place + 1]]
        assert ours.tolist() == whole.targets[whole.offsets[there] : whole.offsets[there + 1]].tolist()


def test_picked_users_keep_their_own(log):
    window = Window.cut(log, start=3, repeats=True)
    chosen = np.arange(len(window))[::-1][:2]
    part = window.take(chosen)
    assert part.users.tolist() == window.users[chosen].tolist()
    for place, user in enumerate(chosen):
        mine, theirs = (one.histories.block(at, at + 1) for one, at in ((part, place), (window, user)))
        assert mine.items.tolist() == theirs.items.tolist()
        targets = (one.targets[one.offsets[at] : one.offsets[at + 1]] for one, at in ((part, place), (window, user)))
        assert next(targets).tolist() == next(targets).tolist()


def test_top_k_pads():
    rows, values = top_k(torch.tensor([[1.0, -torch.inf, 3.0]]), 4)
    assert rows.tolist() == [[2, 0, -1, -1]]
    assert values.tolist() == [[3.0, 1.0, -np.inf, -np.inf]]
