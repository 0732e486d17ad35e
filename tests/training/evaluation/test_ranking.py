"""Full ranking against a brute force that reads like the definitions."""

from math import log2

import ir_measures
import numpy as np
import pytest
import torch

from tests.training.checkerboard import make_log
from training.data.windows import Window
from training.evaluation.ranking import accuracy, evaluate, recommend, top_k

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


@pytest.mark.parametrize("repeats", [True, False])
def test_it_agrees_with_trec_eval(log, repeats):
    """By the library ir-measures, on scores with many ties, users with short lists, and users with an empty list."""
    window = Window.cut(log, start=60, repeats=repeats)
    tied = torch.from_numpy(np.random.default_rng(7).integers(0, 3, (len(window), NUM_ITEMS))).float()
    tied[torch.from_numpy(np.random.default_rng(8).random(tied.shape) < 0.3)] = -torch.inf
    tied[::4] = -torch.inf
    lists, _ = recommend(lambda histories, *, as_of: tied, window, k=10)
    ours = accuracy(lists, window, cutoffs=(3, 10))
    relevant = {
        str(user): {f"i{item}": 1 for item in window.targets[window.offsets[user] : window.offsets[user + 1]]}
        for user in range(len(window))
    }
    # trec_eval breaks ties of scores by the name of the item. A tie here is broken when the list is made, so the
    # position is the score.
    run = {
        str(user): {f"i{item}": float(-position) for position, item in enumerate(row) if item >= 0}
        for user, row in enumerate(lists)
    }
    assert {} in run.values()
    assert max(map(len, relevant.values())) > 3
    for k in (3, 10):
        theirs = {
            f"ndcg@{k}": ir_measures.nDCG @ k,
            f"recall@{k}": ir_measures.R @ k,
            f"precision@{k}": ir_measures.P @ k,
            f"hit_rate@{k}": ir_measures.Success @ k,
            f"map@{k}": ir_measures.AP @ k,
            f"mrr@{k}": ir_measures.RR @ k,
        }
        names = {measure: name for name, measure in theirs.items()}
        calculated = ir_measures.iter_calc(names, relevant, run)
        found = {(names[one.measure], int(one.query_id)): one.value for one in calculated}
        for user in range(len(window)):
            # trec_eval divides by all targets, also by those that K positions cannot hold.
            targets = len(relevant[str(user)])
            found[f"map@{k}", user] *= targets / min(targets, k)
        assert len(found) == len(theirs) * len(window)
        for (name, user), value in found.items():
            assert ours[name][user] == pytest.approx(value), (name, user)


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
