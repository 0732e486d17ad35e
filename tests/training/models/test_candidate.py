"""Candidates: fitted on the past, moved forward, never told the answer."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from graphstore.catalogue import Catalogue
from tests.training.checkerboard import DAY_MS, checkerboard, make_log
from training.blend.fit import BlendSettings
from training.blend.selection import SMALL_L2
from training.config import SageConfig, TrainingConfig
from training.data.dataset import Dataset, TimeSplit
from training.data.event_log import Histories
from training.data.windows import Window
from training.evaluation.ranking import evaluate
from training.features.items import NUMBER_COLUMNS
from training.models.candidate import Candidate, closed_form_terms, new_events_window
from training.models.recommender import Recommender
from training.options import TrainingOptions
from training.sage.term import SageTerm
from training.terms.als import AlsTerm
from training.terms.content import Content
from training.terms.filter_bank import FilterBank
from training.terms.habit.term import Habit
from training.terms.linear_filter import LinearFilter
from training.terms.protocol import find_term
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

LOG = checkerboard(bought=8)
SPLIT = TimeSplit(validation=4 * DAY_MS, test=6 * DAY_MS)
CONFIG = TrainingConfig(sage=SageConfig(dim=8, max_steps=20, batch_size=64, learning_rate=0.02))
FEATURES = torch.ones(LOG.num_items, 1)
DATASET = Dataset(
    log=LOG,
    item_ids=[f"i{row}" for row in range(LOG.num_items)],
    item_keys=np.arange(LOG.num_items),
    catalogue=Catalogue([], [], [], np.empty(0, np.float32), np.ones(LOG.num_items, np.bool_)),
)


def fitted(*, features: torch.Tensor | None = None, repeats: bool = False) -> Candidate:
    return Candidate.fitted(
        LOG.between(end=SPLIT.validation),
        SPLIT.validation_window(LOG, repeats=repeats),
        filters=FilterBank([LinearFilter.fit(LOG.between(end=SPLIT.validation))]),
        features=features,
        horizon_ms=SPLIT.test - SPLIT.validation,
        config=CONFIG,
        options=TrainingOptions(seed=0),
    )


def test_a_shop_where_nobody_came_twice_has_a_model_without_graphsage():
    rows = [(user, item, user * DAY_MS) for user in range(10) for item in (0, 1)]
    log = make_log(rows, num_users=10, num_items=LOG.num_items)
    past = log.between(end=8 * DAY_MS)
    made = Candidate.fitted(
        past,
        Window.cut(log, start=8 * DAY_MS, repeats=False),
        filters=FilterBank([LinearFilter.fit(past)]),
        features=FEATURES,
        horizon_ms=2 * DAY_MS,
        config=CONFIG,
        options=TrainingOptions(seed=0),
    )
    assert find_term(made.terms, SageTerm) is None
    list_of_one, list_of_none = made(Histories.from_rows([[(0, 0, 3)], []]), as_of=9 * DAY_MS)
    assert list_of_one.argmax() in (0, 1)
    assert torch.equal(list_of_one.argsort(), list_of_none.argsort())  # all that is known is what cold users take


def test_which_terms():
    assert [type(term) for term in fitted().terms] == [FilterBank, Trend, AlsTerm]
    assert [type(term) for term in fitted(repeats=True).terms] == [FilterBank, Trend, PersonalRepeat]


@pytest.mark.slow
def test_habits_are_a_term_where_shoppers_come_back_to_enough_of_what_they_know(caplog):
    """Half of the items again and again, every other day; the horizon is that of the window."""
    rows = [
        (user, item, day * DAY_MS) for user in range(50) for item in range(user % 2, 12, 2) for day in range(0, 30, 2)
    ]
    log = make_log(rows, num_users=50, num_items=12)
    filters = FilterBank([LinearFilter.fit(log)])
    with caplog.at_level(logging.INFO):
        for past, habits in ((log, 1), (log.between(end=9 * DAY_MS), 0)):
            terms = closed_form_terms(past, filters=filters, features=None, repeats=True, horizon_ms=4 * DAY_MS, seed=0)
            assert [type(term) for term in terms] == [FilterBank, Trend, PersonalRepeat, *[Habit] * habits]
            assert [term.horizon_days for term in terms if isinstance(term, Habit)] == [4.0] * habits
    assert "without habits" in caplog.text
    whole = fitted(features=FEATURES)
    assert [type(term) for term in whole.terms] == [FilterBank, Trend, AlsTerm, SageTerm]
    names = {"filters", "trend", "factorisation"}
    rebuilt = whole.select_terms(names, SPLIT.validation_window(LOG, repeats=False), config=CONFIG, seed=0)
    assert rebuilt.terms == whole.terms[:3]
    assert rebuilt.blend == fitted().blend
    described = torch.eye(LOG.num_items, LOG.num_items + NUMBER_COLUMNS)
    kinds = [FilterBank, Trend, AlsTerm, Content, SageTerm]
    assert [type(term) for term in fitted(features=described).terms] == kinds


def test_a_configured_penalty_holds_the_weights_of_the_blend():
    window = SPLIT.validation_window(LOG, repeats=False)
    free = fitted()
    sizes = []
    for l2 in (None, SMALL_L2, 100.0):
        config = CONFIG.model_copy(update={"blend_l2": l2})
        blend = free.select_terms({"filters", "trend"}, window, config=config, seed=0).blend
        sizes.append((np.square(blend.warm).sum(), np.square(blend.unknown).sum()))
    assert sizes[0] == sizes[1]
    assert sizes[2][0] < sizes[0][0] / 4
    assert sizes[2][1] < sizes[0][1]


def test_a_configured_focus_is_that_of_the_fit():
    window = SPLIT.validation_window(LOG, repeats=False)
    free = fitted()
    assert (np.diff(window.offsets) > 1).any()  # with one target a user all are the same
    blends = []
    for focus in (None, BlendSettings().focus, 0.0):
        config = CONFIG.model_copy(update={"blend_focus": focus})
        blends.append(free.select_terms({"filters", "trend"}, window, config=config, seed=0).blend)
    assert blends[0] == blends[1]
    assert blends[0].warm != blends[2].warm


@pytest.mark.parametrize("features", [None, FEATURES])
def test_the_toy_world_is_learned(features):
    candidate = fitted(features=features)
    candidate.advance(LOG, SPLIT.validation, SPLIT.test, features)
    window = Window.cut(LOG, start=SPLIT.test, repeats=False)
    # Two of the six items of the own half that are left: a perfect model still has to guess among them.
    assert evaluate(candidate, window).metrics()["recall@10"] > 0.95


def test_moving_forward_is_the_same_as_having_been_there():
    candidate = fitted()
    candidate.advance(LOG, SPLIT.validation, SPLIT.test, None)
    candidate.advance(LOG, SPLIT.test, None, None)
    whole = [FilterBank([LinearFilter.fit(LOG)]), Trend.fit(LOG, candidate.terms[1].half_lives_hours)]
    histories = LOG.histories(np.arange(LOG.num_users))
    for term, expected in zip(candidate.terms[:2], whole, strict=True):  # a factorisation comes near, see its own test
        features = term.score(histories, as_of=9 * DAY_MS)
        torch.testing.assert_close(features, expected.score(histories, as_of=9 * DAY_MS), atol=1e-3, rtol=1e-3)


def champion_of(candidate: Candidate, *, num_items: int) -> Recommender:
    """A model of the first items, published at the validation window."""
    return Recommender(
        model_version="m1",
        kind="closed_form",
        as_of=SPLIT.validation,
        repeats=False,
        item_ids=DATASET.item_ids[:num_items],
        item_keys=DATASET.item_keys[:num_items],
        available=DATASET.available[:num_items],
        terms=candidate.terms,
        blend=candidate.blend,
    )


def test_the_window_of_new_events_has_what_the_champion_could_list():
    num_items = LOG.num_items - 4
    window = new_events_window(champion_of(fitted(), num_items=num_items), LOG, end=SPLIT.test)
    assert window.num_items == num_items
    assert window.as_of == SPLIT.validation
    assert max(window.targets.max(), window.histories.items.max()) < num_items
    new = LOG.between(SPLIT.validation, SPLIT.test)
    expected = {(user, item) for user, item in zip(new.users, new.items, strict=True) if item < num_items}
    owners = np.repeat(window.users, np.diff(window.offsets))
    assert set(zip(owners, window.targets, strict=True)) == expected
    assert (window.histories.times < SPLIT.validation).all()


def test_an_update_moves_the_blend_and_leaves_the_terms_to_advance():
    candidate = fitted()
    champion = champion_of(candidate, num_items=LOG.num_items)
    window = new_events_window(champion, LOG, end=SPLIT.test)
    updated = Candidate.from_champion(champion, window, config=CONFIG, seed=0)
    assert updated.terms == champion.terms
    assert updated.blend.feature_names == champion.blend.feature_names
    assert updated.blend.scale == champion.blend.scale
    np.testing.assert_allclose(updated.blend.warm, champion.blend.warm, atol=0.01)  # fitted on the same window
    champion.blend = replace(champion.blend, warm=(0.0,) * len(champion.blend.warm))
    updated = Candidate.from_champion(champion, window, config=CONFIG, seed=0)
    assert np.abs(updated.blend.warm).max() > 0.01
    updated.advance(LOG, champion.as_of, SPLIT.test, None)
    test = Window.cut(LOG, start=SPLIT.test, repeats=False)
    assert evaluate(updated, test).metrics()["recall@10"] > 0.95


def test_sage_needs_features_to_go_on():
    candidate = fitted(features=FEATURES)
    with pytest.raises(ValueError, match="features"):
        candidate.advance(LOG, SPLIT.validation, SPLIT.test, None)
