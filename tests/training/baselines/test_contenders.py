"""One suite that runs on every baseline of the benchmark: what `BaselineFit` promises, on worlds whose right answer is
known."""

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
from training.benchmark.run import DETERMINISTIC
from training.data.splits import EvaluationSplit, given, leave_last_out, temporal
from training.evaluation.ranking import evaluate
from training.options import TrainingOptions

WITHOUT_PROFILE = ("popular", "recent", "personal-frequency")
PERSONAL = tuple(name for name in BASELINES if name not in WITHOUT_PROFILE)


SEED_0 = TrainingOptions(seed=0)


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
    return BASELINES[name](split(), SEED_0)


def share_of_own_colour(name: str, split: Callable[[], EvaluationSplit]) -> float:
    """Among the first three unseen items of each list."""
    window = split().test
    scores = fitted(name, split)(window.histories, as_of=window.as_of)
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
    second = BASELINES[name](replace(world(), test=None), SEED_0)
    assert first.settings == second.settings
    assert first.num_parameters == second.num_parameters > 0
    assert torch.equal(first(window.histories, as_of=window.as_of), second(window.histories, as_of=window.as_of))


@pytest.mark.parametrize("name", BASELINES)
def test_another_seed_gives_other_scores_but_where_none_is_said_to_count(name):
    window = world().test
    first, second = fitted(name, world), BASELINES[name](world(), TrainingOptions(seed=1))
    ours, theirs = (scorer(window.histories, as_of=window.as_of) for scorer in (first, second))
    assert torch.equal(ours, theirs) == (name in DETERMINISTIC)


@pytest.mark.parametrize("name", BASELINES)
def test_scores_are_a_finite_number_for_each_item_in_any_company(name):
    window = world().test
    scorer = fitted(name, world)
    scores = scorer(window.histories, as_of=window.as_of)
    assert scores.shape == (len(window), world().num_items)
    assert scores.dtype == torch.float32
    assert not scores.requires_grad
    assert scores.isfinite().all()
    parts = [scorer(window.histories.block(user, user + 1), as_of=window.as_of[user : user + 1]) for user in range(4)]
    torch.testing.assert_close(scores[:4], torch.cat(parts), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", BASELINES)
def test_progress_goes_on_to_its_end_and_settings_are_numbers_and_names(name):
    heard: list[tuple[str, float]] = []
    model = BASELINES[name](world(), TrainingOptions(seed=0, progress=lambda line, share: heard.append((line, share))))
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert 0.0 <= shares[0] <= shares[-1] == 1.0
    assert all(line.startswith(f"{name}: ") for line, _ in heard)
    assert all(isinstance(value, float | str) for value in model.settings.values())


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


@pytest.mark.parametrize("name", ["personal-frequency", "tifu-knn", "up-cf"])
def test_counts_know_what_is_bought_again(name):
    rows = [(user, user, day * DAY_MS + user) for day in range(40) for user in range(20)]
    rows += [(user, 20, day * DAY_MS + user) for day in range(0, 40, 7) for user in range(20)]
    split = temporal(make_log(rows, num_users=20, num_items=30), repeats=True)
    scorers = [BASELINES[baseline](split, SEED_0) for baseline in (name, "recent")]
    personal, recent = (evaluate(scorer, split.test).metrics()["ndcg@20"] for scorer in scorers)
    assert personal > 0.95
    assert personal > recent + 0.1
