"""Position bias: the examination that made the clicks is found again, by chance orders or by the click model."""

import numpy as np
import pytest

from monitoring.position_bias import LEAST_CLICKS, POSITIONS, Looks
from serving import exploration
from serving.routing import Exploration

TRUE = 1 / np.sqrt(1 + np.arange(8))


def looks(lists, *, propensity, scores, seed=1):
    """Lists of 8 of 30 items; `scores(rng)` are those that order them, `propensity` is given for every impression."""
    rng, found = np.random.default_rng(seed), Looks()
    like = np.linspace(0.05, 0.5, 30)
    items = np.argsort(-scores(rng, lists, like), axis=1)[:, :8]
    position = np.tile(np.arange(8), (lists, 1))
    clicked = rng.random((lists, 8)) < TRUE[position] * like[items]
    weight = np.broadcast_to(propensity, (lists, 8))
    found.add(items.ravel(), position.ravel(), clicked.ravel(), weight.ravel().astype(float))
    return found, clicked.sum()


def by_chance(rng, lists, like):
    return rng.random((lists, len(like)))


def by_model(rng, lists, like):
    return like + rng.normal(0, 0.15, (lists, len(like)))


def test_chance_orders_give_the_examination():
    found, clicks = looks(6000, propensity=1 / (30 - np.arange(8)), scores=by_chance)
    examination = found.examination()
    assert (examination.how, examination.clicks) == ("explored", clicks)
    assert examination.share[:8] == pytest.approx(TRUE, abs=0.08)
    assert examination.share[0] == 1.0


def test_the_click_model_gives_it_without_exploration():
    """Better items stand first, so the plain rate by position is far steeper than the examination."""
    examination = looks(6000, propensity=1.0, scores=by_model)[0].examination()
    assert examination.how == "click_model"
    assert examination.share[:8] == pytest.approx(TRUE, abs=0.08)
    assert (examination.share[8:] == 1.0).all()


def test_drawn_lists_weigh_by_their_propensities():
    """Lists drawn as the shop draws them: likeable items come first, and the weights take this out."""
    rng, found, like = np.random.default_rng(3), Looks(), np.linspace(0.05, 0.5, 12)
    for seed in range(3000):
        drawn = exploration.draw(like, 0, Exploration(temperature=0.3), count=8, seed=seed)
        items = np.array(drawn.choices)
        clicked = rng.random(8) < TRUE * like[items]
        found.add(items, np.arange(8), clicked, np.array(drawn.propensities))
    examination = found.examination()
    assert examination.how == "explored"
    assert examination.share[:6] == pytest.approx(TRUE[:6], abs=0.1)


def test_a_few_clicks_say_nothing():
    found = Looks()
    assert found.examination() is None
    clicked = np.arange(1000) < LEAST_CLICKS - 1
    found.add(np.arange(1000) % 7, np.arange(1000) % POSITIONS, clicked, np.ones(1000))
    assert found.examination() is None
    found.add(np.array([1]), np.array([POSITIONS + 70]), np.array([True]), np.ones(1))
    assert found.examination().how == "click_model"
