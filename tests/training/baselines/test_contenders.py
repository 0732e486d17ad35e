"""Every baseline of the benchmark on the checkerboard: it finds the own colour, and it never sees the test."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import inf

import numpy as np
import pytest
import torch

from tests.training.checkerboard import DAY_MS, checkerboard, make_log
from training.baselines import lightgcn, sasrec
from training.baselines.contenders import BASELINES
from training.baselines.factors import OWN
from training.baselines.tuning import FittedBaseline
from training.data.splits import EvaluationSplit, given, leave_last_out, temporal
from training.evaluation.ranking import evaluate
from training.options import TrainingOptions

WITHOUT_PROFILE = ("popular", "recent", "personal-frequency")
PERSONAL = tuple(name for name in BASELINES if name not in WITHOUT_PROFILE)


def quiet(line: str, share: float) -> None:
    assert line
    assert 0.0 <= share <= 1.0


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(lightgcn, "MAX_STEPS", 40)
    monkeypatch.setattr(lightgcn, "MIN_STEPS", 40)
    monkeypatch.setattr(lightgcn, "BATCH", 256)
    monkeypatch.setattr(sasrec, "MAX_STEPS", 40)
    monkeypatch.setattr(sasrec, "MIN_STEPS", 40)
    monkeypatch.setattr(sasrec, "TARGETS", 300)


@cache
def world() -> EvaluationSplit:
    return leave_last_out(checkerboard(num_users=60, num_items=24, bought=8), repeats=False)


@cache
def untimed_world() -> EvaluationSplit:
    log = checkerboard(num_users=60, num_items=32, bought=13)
    train, test = log.between(end=10 * DAY_MS), log.between(start=10 * DAY_MS)
    return given(train, test, timed=False)


@cache
def popular_world() -> EvaluationSplit:
    """Everybody takes item 0; nobody takes the last items; two users never come."""
    rows = [(user, item, user * DAY_MS + item) for user in range(30) for item in (0, 1 + user % 11, 12 + user % 7)]
    return temporal(make_log(rows, num_users=32, num_items=24), repeats=False)


@cache
def fitted(name: str, split: Callable[[], EvaluationSplit]) -> FittedBaseline:
    return BASELINES[name](split(), TrainingOptions(seed=0, progress=quiet))


def share_of_own_colour(name: str, split: Callable[[], EvaluationSplit]) -> float:
    """Among the first three unseen items of each list."""
    window = split().test
    scores = fitted(name, split)(window.histories, as_of=window.moment)
    listed = scores.masked_fill(torch.from_numpy(window.seen()), -torch.inf).topk(3, dim=1).indices.numpy()
    return float((listed % 2 == window.users[:, None] % 2).mean())


@pytest.mark.parametrize("split", [world, untimed_world])
@pytest.mark.parametrize("name", PERSONAL)
def test_it_finds_the_own_colour(name, split):
    assert share_of_own_colour(name, split) > 0.9


@pytest.mark.parametrize("split", [world, untimed_world])
@pytest.mark.parametrize("name", WITHOUT_PROFILE)
def test_popularity_does_not(name, split):
    assert share_of_own_colour(name, split) < 0.75


@pytest.mark.parametrize("name", BASELINES)
def test_untimed_settings_hold_no_decay(name):
    settings = fitted(name, untimed_world).settings
    assert all(value == inf for setting, value in settings.items() if "half_life" in setting)
    assert settings.get("profile", OWN) in (OWN, inf)


@pytest.mark.parametrize("name", BASELINES)
def test_the_test_window_is_never_read_and_equal_seeds_give_equal_scores(name):
    window = world().test
    first = fitted(name, world)
    second = BASELINES[name](replace(world(), test=None), TrainingOptions(seed=0, progress=quiet))
    assert first.settings == second.settings
    assert first.num_parameters == second.num_parameters > 0
    assert torch.equal(first(window.histories, as_of=window.moment), second(window.histories, as_of=window.moment))


@pytest.mark.parametrize("name", BASELINES)
def test_who_has_no_history_gets_popularity(name):
    nobody = popular_world().known.histories(np.array([31, 31]))
    scores = fitted(name, popular_world)(nobody, as_of=30 * DAY_MS)
    assert scores.shape == (2, 24)
    assert torch.isfinite(scores).all()
    assert scores.argmax(dim=1).tolist() == [0, 0]


@pytest.mark.parametrize("name", BASELINES)
def test_untouched_items_and_empty_batches_are_no_trouble(name):
    split, scorer = popular_world(), fitted(name, popular_world)
    assert evaluate(scorer, split.test).finite
    assert scorer(split.known.histories(np.empty(0, dtype=np.int64)), as_of=30 * DAY_MS).shape == (0, 24)


def test_personal_frequency_knows_what_is_bought_again():
    rows = [(user, user, day * DAY_MS + user) for day in range(40) for user in range(20)]
    rows += [(user, 20, day * DAY_MS + user) for day in range(0, 40, 7) for user in range(20)]
    split = temporal(make_log(rows, num_users=20, num_items=30), repeats=True)
    scorers = [
        BASELINES[name](split, TrainingOptions(seed=0, progress=quiet)) for name in ("personal-frequency", "recent")
    ]
    personal, recent = (evaluate(scorer, split.test).metrics()["ndcg@20"] for scorer in scorers)
    assert personal > 0.95
    assert personal > recent + 0.1
