"""The fit of the blend: weights of maximum likelihood find out which term tells the truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.checkerboard import make_log
from tests.training.oracle import HOUR_MS, NUM_ITEMS, Oracle, choices_of_an_oracle
from training.blend.blend import KNOWN, feature_names
from training.blend.fit import BlendSettings, fit_blend, max_users
from training.data.event_log import Histories
from training.data.windows import Window
from training.terms.trend import Trend


@pytest.fixture(scope="module")
def world():
    return choices_of_an_oracle()


def test_it_recovers_the_weights(world):
    log, oracle, trend = world
    window = Window.cut(log, start=100 * HOUR_MS, repeats=True)
    blend = fit_blend([oracle, trend], window, settings=BlendSettings(l2=1e-5))
    weights = blend.weights(np.array([20]))[0]
    assert weights[0] == pytest.approx(1.5, abs=0.25)
    assert abs(float(weights[1])) < 0.2
    assert blend.cold is not None  # 300 cold users are enough for weights of their own
    assert blend.weights(np.array([1]))[0, 0] == pytest.approx(1.5, abs=0.3)
    few = fit_blend([oracle, trend], window, settings=BlendSettings(min_cold_users=301))
    assert few.cold is None


@pytest.mark.parametrize("focus", [0.0, 0.5, 1.0])
def test_it_is_the_maximum_of_the_likelihood(world, focus):
    """The written-out gradient against autograd, seen items barred; three users make one of three targets."""
    log, oracle, trend = world
    merged = np.where(log.times < 100 * HOUR_MS, log.users, log.users % 200)  # users 0 to 199 take three times
    log = replace(log, users=merged)
    window = Window.cut(log, start=100 * HOUR_MS, repeats=False)
    assert len(window.targets) > 2 * len(window)
    settings = BlendSettings(l2=1e-3, min_cold_users=10**6, focus=focus)
    blend = fit_blend([oracle, trend], window, settings=settings)
    design = torch.tensor([blend.warm, blend.activity], dtype=torch.float64, requires_grad=True)
    features = torch.cat([term.score(window.histories, as_of=window.as_of) for term in (oracle, trend)], dim=2)
    level = (torch.from_numpy(np.log1p(window.lengths())) - blend.activity_mean) / blend.activity_sd
    weights = (design[0] + level[:, None] * design[1]) / torch.tensor(blend.scale)
    scores = torch.einsum("unf,uf->un", features.double(), weights)
    scores = scores.masked_fill(torch.from_numpy(window.seen()), -torch.inf).log_softmax(dim=1)
    parts = [
        scores[user, window.targets[start:end]]
        for user, (start, end) in enumerate(zip(window.offsets[:-1], window.offsets[1:], strict=True))
    ]
    chosen = [part.exp().pow(focus).mean().log() / focus if focus else part.mean() for part in parts]
    loss = -torch.stack(chosen).mean() + 1e-3 * design.square().sum()
    (gradient,) = torch.autograd.grad(loss, design)
    assert gradient.abs().max() < 1e-3


def test_focus_is_on_the_targets_that_were_likely_anyhow():
    """Everybody takes item 0 and one of twenty that sell alike: the list is led by what is sure."""
    rng = np.random.default_rng(0)
    rows = [(user, int(item), user) for user in range(400) for item in rng.integers(1, 21, size=3)]
    rows += [(user, item, 10_000) for user in range(400) for item in (0, int(rng.integers(1, 21)))]
    log = make_log(rows, num_users=400, num_items=21)
    sure = Oracle(torch.eye(21)[0], torch.from_numpy(rng.normal(size=21)).float())
    window = Window.cut(log, start=10_000, repeats=True)

    def weight(focus: float) -> float:
        settings = BlendSettings(l2=1e-4, min_cold_users=10**6, focus=focus)
        return float(
            fit_blend([sure, Trend.fit(log, (1000.0,))], window, settings=settings).weights(np.array([3]))[0, 0]
        )

    assert weight(1.0) > weight(0.5) > weight(0.0) + 0.5


def test_many_cold_users_weigh_and_few_follow_everybody():
    """Those who come back take what sells, cold users take what does not."""
    rows = [(user, item, item * HOUR_MS) for user in range(200) for item in range(10) if user < 20 * (item + 1)]
    rows += [(user, 9 if user < 200 else 0, 100 * HOUR_MS) for user in range(20, 260)]
    log = make_log(rows, num_users=260, num_items=10)
    terms = [Trend.fit(log.between(end=100 * HOUR_MS), (1000.0,))]
    window = Window.cut(log, start=100 * HOUR_MS, repeats=True)

    def best(settings: BlendSettings) -> int:
        score = fit_blend(terms, window, settings=settings).score(terms, Histories.from_rows([[]]), as_of=100 * HOUR_MS)
        return int(score.argmax())

    assert (window.lengths() == 0).sum() == 60
    assert best(BlendSettings(min_cold_users=61)) == 9
    assert best(BlendSettings(min_cold_users=60, anchor_users=1)) == 0


def test_from_cold_users_alone_known_shoppers_get_what_cold_users_get(world):
    log, oracle, trend = world
    new = make_log([(user, user % 3, 100 * HOUR_MS) for user in range(60)], num_users=60, num_items=NUM_ITEMS)
    window = Window.after(log.between(end=0), new, as_of=100 * HOUR_MS, repeats=False)
    assert not window.lengths().any()
    blend = fit_blend([oracle, trend], window)
    known, cold = blend.score([oracle, trend], Histories.from_rows([[(4, 1, 3)], []]), as_of=100 * HOUR_MS)
    assert cold.std() > 0
    assert torch.allclose(known, cold)


def test_an_anchor_holds_a_small_window(world):
    log, oracle, trend = world
    terms = [oracle, trend]
    window = Window.cut(log, start=100 * HOUR_MS, repeats=True)
    old = replace(fit_blend(terms, window), warm=(9.0,) * 4, activity=(0.0,) * 4)
    few = Window.cut(log, start=100 * HOUR_MS, repeats=True, max_users=5)
    held = fit_blend(terms, few, anchor=old, settings=BlendSettings(anchor_users=10_000))
    assert np.allclose(held.warm, 9.0, atol=0.5)
    free = fit_blend(terms, window, anchor=old, settings=BlendSettings(anchor_users=0))
    assert abs(free.warm[1]) < 0.5
    begun = fit_blend(terms, window, anchor=old, settings=BlendSettings(anchor_users=0, iterations=1))
    assert abs(begun.warm[1] - 9.0) < abs(free.warm[1] - 9.0)  # it starts at the anchor and has not arrived
    nothing = Window.cut(log, start=10**12, repeats=True)
    assert fit_blend(terms, nothing, anchor=old) is old
    with pytest.raises(ValueError, match="no user"):
        fit_blend(terms, nothing)
    with pytest.raises(ValueError, match="anchor"):
        fit_blend([trend], window, anchor=old)


def test_memory_bounds_the_users(world):
    _, oracle, trend = world
    assert max_users([oracle, trend], 1_000, separate_known=False, memory_mb=12) == 1_000
    assert max_users([oracle, trend], 1_000, separate_known=True, memory_mb=12) == 750
    assert max_users([oracle, trend], 10**9, separate_known=True, memory_mb=12) == 1


def test_what_is_known_has_a_trend_of_its_own():
    """Everybody takes again the known item that fewest others want, and of the rest the most wanted."""
    rng = np.random.default_rng(0)
    rows = [(user, item, 0) for user in range(400) for item in rng.choice(NUM_ITEMS, 6, replace=False).tolist()]
    rows += [(400 + n, item, 1) for item in range(NUM_ITEMS) for n in range(item)]
    past = make_log(rows, num_users=500, num_items=NUM_ITEMS)
    trend = Trend.fit(past, (10.0,))
    taken = [(u, min(item for user, item, _ in rows[:2400] if user == u), 9 * HOUR_MS) for u in range(400)]
    log = make_log([*rows, *taken], num_users=500, num_items=NUM_ITEMS)
    window = Window.cut(log, start=9 * HOUR_MS, repeats=True)
    blend = fit_blend([trend], window)
    assert blend.feature_names == ("trend_0", "trend_0" + KNOWN) == feature_names([trend], separate_known=True)
    own, known = blend.weights(np.array([6]))[0].tolist()
    assert own + known < 0
    fresh = [(user, (item + 1) % NUM_ITEMS, time) for user, item, time in taken]
    log = make_log([*rows, *fresh], num_users=500, num_items=NUM_ITEMS)
    without = fit_blend([trend], Window.cut(log, start=9 * HOUR_MS, repeats=False))
    assert without.feature_names == ("trend_0",)
    assert fit_blend([trend], window, anchor=without).feature_names == ("trend_0",)  # an older model stays as it is
