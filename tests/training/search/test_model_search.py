"""The model search: what validation chooses is the toy world's right answer, and the test is not read."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from tests.training.checkerboard import checkerboard
from training.blend import selection
from training.blend.selection import fit_selected
from training.config import SageConfig, TrainingConfig
from training.data.event_log import EventLog
from training.data.splits import EvaluationSplit, given, leave_last_out, temporal
from training.data.windows import Window
from training.evaluation.ranking import evaluate
from training.options import TrainingOptions
from training.sage.term import SageTerm
from training.search import blend_search, model_search
from training.search.blend_search import L2, MIN_USERS, REGULARISATIONS, BlendSearch
from training.search.budget import NO_BUDGET
from training.search.model_search import LEFT_OUT, NO_PAST, ChosenModel, fit_best, paced, with_patience
from training.terms.protocol import find_term

pytestmark = pytest.mark.slow

CONFIG = TrainingConfig(sage=SageConfig(dim=8, batch_size=64, evaluate_every=5, patience=1, graph_edges=200))


def fitted(split: EvaluationSplit) -> ChosenModel:
    return fit_best(split, None, config=CONFIG, options=TrainingOptions(seed=0))


def untimed(log: EventLog) -> EvaluationSplit:
    late = np.arange(len(log)) >= 0.8 * len(log)
    train, test = (log.take(np.flatnonzero(part)) for part in (~late, late))
    return given(train, test, timed=False)


@pytest.mark.parametrize(
    "split",
    [
        temporal(checkerboard(bought=8), repeats=False),
        temporal(checkerboard(bought=8), repeats=True),
        leave_last_out(checkerboard(bought=8), repeats=False),
        untimed(checkerboard(bought=10)),
    ],
    ids=["temporal", "next basket", "leave-last-out", "given"],
)
def test_the_own_colour_is_recommended(split):
    model = fitted(split)
    hits = evaluate(model, split.test).metrics()
    parts = evaluate(model.parts["without-graphsage"], split.test).metrics()
    # Twelve items are of the own colour, and without repeats those that are left fit into a list of ten.
    if not split.test.repeats:
        assert hits["recall@10"] > 0.9
        assert parts["recall@10"] > 0.9
    assert hits["recall@20"] > 0.95
    assert model.num_parameters > 24 * 8
    assert model.settings["l2"] in L2


def test_the_test_window_cannot_be_looked_at(monkeypatch):
    monkeypatch.setattr(blend_search, "MIN_USERS", 1)  # everything is chosen, nothing left as it is
    split = leave_last_out(checkerboard(bought=6), repeats=False)
    unreadable = cast(Window, SimpleNamespace(repeats=False))
    one, other = fitted(split), fitted(replace(split, test=unreadable))
    assert one.settings == other.settings
    assert one.candidate.blend == other.candidate.blend


def test_graphsage_is_fitted_again_for_longer_where_more_is_known():
    split = leave_last_out(checkerboard(bought=6), repeats=False)
    model = fitted(split)
    term = find_term(model.candidate.terms, SageTerm)
    ratio = len(split.known) / len(split.past)
    assert term.steps == model.settings["sage"]["max_steps"]
    assert term.steps in {round(looks * CONFIG.sage.evaluate_every * ratio) for looks in range(1, 400)}
    assert term.steps > 1


def test_without_an_event_that_has_a_past_there_is_no_graphsage():
    model = fitted(leave_last_out(checkerboard(bought=3), repeats=False))
    assert model.settings["sage"] == NO_PAST
    assert find_term(model.candidate.terms, SageTerm) is None


@pytest.mark.parametrize("gain", [0.01, -0.01])
def test_graphsage_must_earn_its_place(gain, monkeypatch):
    def selected(terms, window, **options):
        blend, found = fit_selected(terms, window, **options)
        worth = gain * (find_term(terms, SageTerm) is not None)
        return blend, replace(found, per_user=np.full(MIN_USERS, 0.5) + worth)

    monkeypatch.setattr(blend_search, "fit_selected", selected)
    monkeypatch.setattr(BlendSearch, "has_enough_users", True)
    model = fitted(leave_last_out(checkerboard(bought=6), repeats=False))
    assert (model.settings["sage"] == LEFT_OUT) == (gain < 0)
    assert (find_term(model.candidate.terms, SageTerm) is not None) == (gain > 0)
    assert ("graphsage" in model.settings["weights"]) == (gain > 0)


def test_a_term_that_could_not_be_offered_stands_in_the_settings_with_the_reason(monkeypatch):
    monkeypatch.setattr(BlendSearch, "with_best_habit", lambda self, bank: replace(self, left_out={"habit": "too few"}))
    assert fitted(leave_last_out(checkerboard(bought=3), repeats=False)).settings["left_out"] == {"habit": "too few"}


def test_a_comparison_is_more_patient_than_a_retrain_and_changes_nothing_else():
    longer = with_patience(CONFIG).sage
    assert longer.patience * longer.evaluate_every > CONFIG.sage.patience * CONFIG.sage.evaluate_every
    assert longer.model_copy(update={"max_steps": 1}).dim == CONFIG.sage.dim


def test_the_pace_of_a_fit_suits_its_events():
    config = with_patience(TrainingConfig()).sage
    few, some, many = (paced(config, events=events) for events in (30_000, 200_000, 3_000_000))
    assert (few.evaluate_every, few.patience, few.max_steps) == (10, 12, config.max_steps)
    assert (some.evaluate_every, some.patience, some.max_steps) == (48, config.patience, config.max_steps)
    assert many.evaluate_every > config.evaluate_every
    assert many.max_steps == 8 * (3_000_000 // config.batch_size)
    assert paced(config.model_copy(update={"evaluate_every": 5}), events=30_000).evaluate_every == 5


def test_a_spent_budget_takes_the_defaults_and_says_so(monkeypatch):
    monkeypatch.setattr(blend_search, "MIN_USERS", 1)
    monkeypatch.setattr(selection, "MIN_USERS", 1)
    split = leave_last_out(checkerboard(bought=6), repeats=False)
    model = fit_best(split, None, config=CONFIG, options=TrainingOptions(seed=0), budget_seconds=0.0)
    left_out = model.settings["left_out"]
    assert set(left_out.values()) == {NO_BUDGET}
    assert {"regularisation of the filters", "co-occurrence", "more shapes of GraphSAGE"} <= set(left_out)
    assert "more rounds of multipliers" in left_out
    assert model.settings["regularisation"] == REGULARISATIONS[0]
    assert not model.settings["cooccurrence"]
    steps = find_term(model.candidate.terms, SageTerm)
    assert steps is None or model.settings["sage"]["max_steps"] <= 2 * CONFIG.sage.evaluate_every
    assert evaluate(model, split.test).metrics()["recall@20"] > 0.9
    assert fitted(split).settings["left_out"] == {}


def test_a_shape_that_falls_behind_is_looked_at_once(monkeypatch):
    looks: list[int] = []

    def behind(lap, leader):
        if lap.evaluations and len(lap.evaluations) == 1:
            looks.append(0)
        looks[-1] += 1
        return leader is not None

    monkeypatch.setattr(model_search, "falls_behind", behind)
    fit_best(
        temporal(checkerboard(bought=8), repeats=False),
        None,
        config=TrainingConfig(sage=CONFIG.sage.model_copy(update={"patience": 4})),
        options=TrainingOptions(seed=0),
    )
    first, *others = looks
    assert first > 1
    assert others == [1, 1]
