"""The transformer sees only what came before, and learns an order."""

import numpy as np
import pytest
import torch

from tests.training.checkerboard import checkerboard, make_log
from training.baselines import sasrec
from training.baselines.sasrec import Sasrec, SasrecSettings, SasrecTrainer, pad


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(sasrec, "TARGETS", 300)


def test_later_events_and_padding_change_nothing():
    torch.manual_seed(0)
    model = Sasrec(24, SasrecSettings()).frozen_copy()
    windows = torch.randint(24, (3, 9))
    whole = model(windows)
    torch.testing.assert_close(model(windows[:, :5]), whole[:, :5])
    changed = windows.clone()
    changed[:, 5:] = 24
    torch.testing.assert_close(model(changed)[:, :5], whole[:, :5])


def test_only_the_last_events_count():
    log = checkerboard(bought=8)
    torch.manual_seed(0)
    model = Sasrec(24, SasrecSettings(last_events=3)).frozen_copy()
    users = np.arange(40)
    with torch.no_grad():
        torch.testing.assert_close(
            model.score(log.histories(users), as_of=0), model.score(log.histories(users, last=3), as_of=0)
        )
        assert torch.equal(model.score(log.histories(users[:2], before=0), as_of=0), torch.zeros(2, 24))


@pytest.mark.parametrize("full", [True, False])
def test_it_learns_what_comes_next(monkeypatch, full):
    """After item i comes item i + 1, for everybody, wherever they begin."""
    monkeypatch.setattr(sasrec, "FULL_SOFTMAX_ITEMS", 100 if full else 0)
    monkeypatch.setattr(sasrec, "NEGATIVES", 12)
    rows = [(user, (user + step) % 12, step * 1000 + user) for user in range(24) for step in range(8)]
    log = make_log(rows, num_users=24, num_items=12)
    trainer = SasrecTrainer(log, SasrecSettings(last_events=6, dropout=0.0), seed=0)
    for _ in range(100):
        trainer.step()
    with torch.no_grad():
        scores = trainer.scorer()(log.histories(np.arange(24)), as_of=0)
    assert scores.argmax(dim=1).tolist() == [(user + 8) % 12 for user in range(24)]


def test_rows_of_spans():
    items = np.array([5, 6, 7, 8])
    rows = pad(items, np.array([0, 3, 2]), np.array([3, 4, 2]), padding=9)
    assert rows.tolist() == [[5, 6, 7], [8, 9, 9], [9, 9, 9]]


def test_single_events_teach_nothing_and_break_nothing():
    log = make_log([(user, user, user) for user in range(5)], num_users=5, num_items=5)
    trainer = SasrecTrainer(log, SasrecSettings(), seed=0)
    trainer.step()
    assert torch.isfinite(trainer.scorer()(log.histories(np.arange(5)), as_of=0)).all()
