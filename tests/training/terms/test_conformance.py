"""One suite that runs on every term: what `training.terms.protocol.Term` promises, and what each says of itself."""

import io
import json
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from math import inf

import numpy as np
import pytest
import torch

from graphstore.tables import HOUR_MS
from tests.training.checkerboard import DAY_MS, checkerboard, joined, make_log
from training.config import SageConfig
from training.data.event_log import EventLog, GrownLog, Histories
from training.data.windows import Window
from training.features.items import NUMBER_COLUMNS
from training.models.bundle import TERMS
from training.options import TrainingOptions
from training.sage.fit import fit_sage
from training.sage.term import SageTerm
from training.terms.als import AlsTerm, AlsTermSettings
from training.terms.content import Content
from training.terms.filter_bank import FilterBank
from training.terms.habit.examples import HabitSettings
from training.terms.habit.term import Habit
from training.terms.linear_filter import FilterSettings, LinearFilter
from training.terms.protocol import Arrivals, ClosedFormTerm, Term
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

NOW = 4 * DAY_MS
"""A whole hour, as the time at which lists are made."""
LOG = checkerboard()
PAST, LATER = LOG.between(end=NOW), LOG.between(start=NOW)
USERS = np.arange(LOG.num_users)
EVEN_USERS = USERS % 2 == 0
SAGE = SageConfig(dim=8, half_lives_ranks=(2.0, inf), batch_size=64, learning_rate=0.03, max_steps=30)


def features_of(num_items: int) -> torch.Tensor:
    """The colour of an item, and nothing of its price [num_items, 2 + NUMBER_COLUMNS]."""
    colours = torch.nn.functional.one_hot(torch.arange(num_items) % 2, 2).float()
    return torch.cat([colours, torch.zeros(num_items, NUMBER_COLUMNS)], dim=1)


def filters(log: EventLog, settings: FilterSettings) -> FilterBank:
    drifting = LinearFilter.fit(log, replace(settings, gram_half_life_ms=2.0 * DAY_MS))
    return FilterBank([LinearFilter.fit(log, settings), drifting], (1.0, inf))


def sage(log: EventLog, seed: int, **settings: str) -> Term:
    config = SAGE.model_copy(update=settings)
    return fit_sage(log, features_of(log.num_items), config=config, options=TrainingOptions(seed=seed))


@dataclass(frozen=True)
class Case:
    """A way to fit a term from a log and a seed, and what is known of it that a reader of a model need not ask."""

    kind: type[Term]
    fit: Callable[[EventLog, int], Term]
    knows_colours: bool = True
    """Whether it can tell from a shopper's past which half of the checkerboard is theirs."""
    seeded: bool = False
    """Whether another seed gives another term."""
    state_tolerance: float = 0.0
    """Largest difference of a score after the state was saved and loaded: that of half precision, or none."""
    update_tolerance: float = 0.0
    """The same after an update: rounding in sums of another order, or none."""


ALS = AlsTermSettings(regularisation=0.5, factors=2, iterations=10)
HABIT = HabitSettings(DAY_MS, min_repeats=0)
"""Nobody buys again on the checkerboard. The nets learn that, and the term is asked for what all terms promise."""
CASES = {
    "filters": Case(FilterBank, lambda log, seed: filters(log, FilterSettings()), update_tolerance=2e-3),
    "filters, local": Case(
        FilterBank, lambda log, seed: filters(log, FilterSettings(max_items=8, neighbours=6)), update_tolerance=2e-3
    ),
    "trend": Case(Trend, lambda log, seed: Trend.fit(log, (10.0, inf)), knows_colours=False),
    "repeat": Case(PersonalRepeat, lambda log, seed: PersonalRepeat.fit(log, (50.0, inf)), knows_colours=False),
    "habit": Case(Habit, lambda log, seed: Habit.fit(log, HABIT, seed=seed), knows_colours=False, seeded=True),
    "factorisation": Case(AlsTerm, lambda log, seed: AlsTerm.fit(log, ALS, seed=seed), seeded=True),
    "content": Case(Content, lambda log, seed: Content.of(features_of(log.num_items)), state_tolerance=2e-3),
    "graphsage": Case(SageTerm, sage, seeded=True),
    "graphsage, max": Case(SageTerm, lambda log, seed: sage(log, seed, aggregation="max", decoder="mlp"), seeded=True),
}


def those(says: Callable[[type[Term]], bool]) -> pytest.MarkDecorator:
    """Runs a test on the terms that say so of themselves, and on no other."""
    return pytest.mark.parametrize("case", [name for name, case in CASES.items() if says(case.kind)], indirect=True)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def term(case: Case) -> Term:
    """Fitted on the past, with nothing of it used up."""
    return case.fit(PAST, 0)


def scores(term: Term, users: np.ndarray = USERS, now: int | np.ndarray = NOW) -> torch.Tensor:
    return term.score(PAST.histories(users), as_of=now)


def loaded(term: Term) -> Term:
    """The term as a bundle brings it back."""
    file = io.BytesIO()
    torch.save(term.state(), file)
    file.seek(0)
    return type(term).from_state(torch.load(file, weights_only=True))


def close(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


def own_colour_leads(features: torch.Tensor) -> None:
    """Of the first feature [U, num_items] the mean over what a shopper does not have yet, by colour."""
    unseen = torch.from_numpy(~Window.after(PAST, PAST, as_of=NOW, repeats=True).seen()).float()
    colours = torch.arange(LOG.num_items) % 2
    own = (colours[None, :] == torch.from_numpy(USERS % 2)[:, None]).float()
    values = features[:, : LOG.num_items, 0]
    mine, others = ((values * part).sum(dim=1) / part.sum(dim=1) for part in (unseen * own, unseen * (1 - own)))
    assert (mine > others).float().mean() > 0.95


def test_every_term_that_a_bundle_may_hold_is_here() -> None:
    assert {case.kind.name: case.kind for case in CASES.values()} == TERMS
    assert all(isinstance(case.fit(PAST, 0), case.kind) for case in CASES.values())


def test_scores_are_a_finite_number_for_each_feature_of_each_item(term: Term) -> None:
    found = scores(term)
    assert found.shape == (len(USERS), term.num_items, len(term.feature_names))
    assert term.num_items == LOG.num_items
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert found.isfinite().all()
    assert len(set(term.feature_names)) == len(term.feature_names)
    nobody = PAST.histories(np.array([0, 1]), before=0)
    assert term.score(nobody, as_of=NOW).isfinite().all()
    assert scores(term, np.empty(0, dtype=np.int64)).shape == (0, *found.shape[1:])


def test_a_shopper_is_scored_alike_in_any_company(term: Term) -> None:
    alone = torch.cat([scores(term, USERS[user : user + 1]) for user in range(5)])
    torch.testing.assert_close(scores(term)[:5], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("user", [0, 1, None])
def test_the_weighted_score_of_one_shopper_is_that_of_the_features(term: Term, user: int | None) -> None:
    history = PAST.histories(np.array([user or 0]), before=None if user is not None else 0)
    weights = np.random.default_rng(0).normal(size=len(term.feature_names)).astype(np.float32)
    expected = term.score(history, as_of=NOW)[0] @ torch.from_numpy(weights)
    found = term.score_one(history, weights, as_of=NOW)
    assert found.dtype == np.float32
    torch.testing.assert_close(torch.from_numpy(found.copy()), expected, atol=2e-5, rtol=2e-5)
    found += 1  # it is the caller's own
    torch.testing.assert_close(term.score(history, as_of=NOW)[0] @ torch.from_numpy(weights), expected)


def test_items_of_a_colour_are_carried_by_events_of_that_colour(case: Case, term: Term) -> None:
    history = Histories.from_rows([[(item, NOW - 100 + place, 3) for place, item in enumerate([0, 1, 2, 3, 4])]])
    rows = np.arange(6, term.num_items)
    carried = term.carried(history, np.ones(len(term.feature_names), dtype=np.float32), rows, as_of=NOW)
    assert carried.shape == (5, len(rows))
    assert np.isfinite(carried).all()
    if case.knows_colours:
        assert carried[::2, ::2].mean() > carried[1::2, ::2].mean()
        assert carried[1::2, 1::2].mean() > carried[::2, 1::2].mean()
    else:
        assert not carried.any()


@those(lambda kind: kind.closed_form and kind.personalised)
def test_what_events_carry_adds_up_to_the_lead_over_an_item_that_nothing_is_known_of(term: Term) -> None:
    blank = term.num_items
    term.extend(replace(arrivals([blank], blank + 1), features=None))
    history = Histories.from_rows([[(item, NOW - 100 - place, 3) for place, item in enumerate([0, 1, 2, 0, 4])]])
    weights = np.random.default_rng(0).normal(size=len(term.feature_names)).astype(np.float32)
    scores = term.score_one(history, weights, as_of=NOW)
    carried = term.carried(history, weights, np.arange(blank), as_of=NOW)
    np.testing.assert_allclose(carried.sum(axis=0), scores[:blank] - scores[blank], atol=1e-4)


def arrivals(rows: list[int], num_items: int) -> Arrivals:
    """Items of the colour of their row. Two shoppers have touched the first of them, and the items 0, 2 and 4."""
    neighbours = np.array([0, 2, 4])
    colours = features_of(num_items)
    return Arrivals(
        rows=np.array(rows),
        num_items=num_items,
        features=colours[rows],
        rare=np.ones(LOG.num_items, dtype=np.bool_),
        neighbours=neighbours,
        neighbour_features=colours[neighbours],
        users=np.repeat([0, 1], 4),
        items=np.tile(np.append([0], len(rows) + np.arange(3)), 2),
    )


def test_items_that_came_later_get_rows_and_leave_the_others_as_they_were(case: Case, term: Term) -> None:
    before = scores(term)
    kept = copy(term)
    grown = copy(term)
    grown.extend(arrivals([LOG.num_items, LOG.num_items + 1], LOG.num_items + 2))
    found = scores(grown)
    assert (kept.num_items, grown.num_items) == (LOG.num_items, LOG.num_items + 2)
    assert found.shape == (len(USERS), LOG.num_items + 2, len(term.feature_names))
    assert found.isfinite().all()
    assert torch.equal(scores(kept), before)
    for old, now in zip(before, found, strict=True):
        if old[:, 0].std() > 0:  # standardised features move with their number, but not against each other
            assert torch.corrcoef(torch.stack([old[:, 0], now[: LOG.num_items, 0]]))[0, 1] > 0.999
    again = copy(grown)
    again.extend(arrivals([LOG.num_items], LOG.num_items + 2))
    assert scores(again).shape == found.shape


@those(lambda kind: kind.name in ("content", "graphsage"))
def test_features_tell_whose_the_later_items_are(term: Term) -> None:
    term.extend(arrivals([LOG.num_items, LOG.num_items + 1], LOG.num_items + 2))
    found = scores(term)[:, LOG.num_items :, 0]
    even = torch.from_numpy(EVEN_USERS)
    assert (found[even, 0] > found[even, 1]).float().mean() > 0.95
    assert (found[~even, 1] > found[~even, 0]).float().mean() > 0.95


def test_one_time_for_all_is_the_same_as_this_time_for_each(term: Term) -> None:
    each = scores(term, now=np.full(len(USERS), NOW))
    torch.testing.assert_close(each, scores(term), atol=1e-5, rtol=1e-5)


def test_the_own_half_of_the_checkerboard_comes_first(case: Case, term: Term) -> None:
    if case.knows_colours:
        own_colour_leads(scores(term))
    else:
        with pytest.raises(AssertionError):
            own_colour_leads(scores(term))


def test_equal_seeds_give_equal_terms(case: Case, term: Term) -> None:
    ours, theirs, other = term.state(), case.fit(PAST, 0).state(), case.fit(PAST, 1).state()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)
    assert all(torch.equal(ours[name], other[name]) for name in ours | other) == (not case.seeded)


def test_a_state_scores_as_before_and_is_the_same_when_saved_again(case: Case, term: Term) -> None:
    again = loaded(term)
    close(scores(again), scores(term), case.state_tolerance)
    assert (again.feature_names, again.num_items) == (term.feature_names, term.num_items)
    assert (again.num_parameters, again.evaluations) == (term.num_parameters, term.evaluations)
    first, second = again.state(), loaded(again).state()
    assert first.keys() == second.keys() == term.state().keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_happens_at_that_time_and_later_changes_nothing(case: Case, term: Term) -> None:
    """The same past, and after it everybody buys the first item alone, the first of them at that very moment."""
    rows = list(zip(PAST.users.tolist(), PAST.items.tolist(), PAST.times.tolist(), strict=True))
    rows += [(int(user), 0, NOW + 1000 * int(user)) for user in USERS for _ in range(5)]
    other = make_log(rows, num_users=LOG.num_users, num_items=LOG.num_items)
    again = case.fit(other.between(end=NOW), 0)
    window = Window.cut(other, start=NOW, repeats=True)
    assert window.users.tolist() == USERS.tolist()
    assert torch.equal(again.score(window.histories, as_of=NOW), scores(term))


@those(lambda kind: not kind.personalised)
def test_impersonal_features_at_a_time_do_not_know_what_came_later(term: Term) -> None:
    """A blend is fitted on users with a time each, and on counts that hold the future of the early ones."""
    times = np.full(len(USERS), NOW)
    before = scores(term, now=times)
    term.update(joined(PAST, LATER))
    assert torch.equal(scores(term, now=times), before)
    assert not torch.equal(scores(term, now=times + 2 * DAY_MS), before)


def test_a_term_is_impersonal_as_it_says(term: Term) -> None:
    found = scores(term)
    assert bool((found == found[:1]).all()) == (not term.personalised)


@those(lambda kind: kind.update_equals_refit)
def test_an_update_comes_to_a_fit_on_everything_where_it_is_promised(case: Case, term: Term) -> None:
    grown = with_new_items()
    features = features_of(grown.log.num_items)
    term.update(joined(PAST, LATER), features=features[: LOG.num_items])
    term.update(grown, features=features)
    whole = case.fit(grown.log, 0)
    assert term.num_items == whole.num_items == LOG.num_items + 2
    close(scores(term), scores(whole), case.update_tolerance)


def with_new_items() -> GrownLog:
    """Two items more: the even shoppers buy the first, nobody the second."""
    new = LOG.num_items
    rows = [(int(user), new, 10 * DAY_MS + int(user)) for user in USERS[EVEN_USERS]]
    return joined(LOG, make_log(rows, num_users=LOG.num_users, num_items=new + 2))


def test_new_items_come_last_and_are_known_for_what_they_are(case: Case, term: Term) -> None:
    grown = with_new_items()
    term.update(joined(PAST, LATER), features=features_of(LOG.num_items))
    before = scores(term)
    term.update(grown, features=features_of(grown.log.num_items))
    found = scores(term)
    assert found.shape == (len(USERS), LOG.num_items + 2, len(term.feature_names))
    assert found.isfinite().all()
    close(scores(loaded(term)), found, case.state_tolerance)
    # Items keep their rows: what was said of the old ones is still the best guess of what is said now.
    old, now = (values[:, : LOG.num_items, 0].flatten() for values in (before, found))
    assert torch.corrcoef(torch.stack([old, now]))[0, 1] > 0.8
    if case.knows_colours:
        own_colour_leads(found)
        even = torch.from_numpy(EVEN_USERS)
        assert found[even, LOG.num_items, 0].mean() > found[~even, LOG.num_items, 0].mean()


def test_a_term_that_was_loaded_updates_as_one_that_was_fitted_here(case: Case, term: Term) -> None:
    features = features_of(LOG.num_items)
    grown = GrownLog.since(LOG, NOW + DAY_MS)
    term.update(GrownLog.since(LOG, NOW, NOW + DAY_MS), features=features)
    again = loaded(term)
    if term.needs_features:
        with pytest.raises(RuntimeError, match="features"):
            again.update(grown)
    again.update(grown, features=features)
    term.update(grown, features=features)
    close(scores(again), scores(term), max(case.update_tolerance, case.state_tolerance))


@those(lambda kind: kind.closed_form)
def test_a_term_of_closed_form_is_fitted_again_and_tells_its_choices(case: Case, term: ClosedFormTerm) -> None:
    again = term.refit(LOG, seed=0)
    assert torch.equal(scores(again), scores(case.fit(LOG, 0)))
    assert json.dumps(again.choices) == json.dumps(term.choices)
    nothing = term.refit(make_log([], num_users=0, num_items=LOG.num_items), seed=0)
    assert scores(nothing).isfinite().all()


def test_terms_of_closed_form_can_be_fitted_again() -> None:
    assert all(case.kind.closed_form == issubclass(case.kind, ClosedFormTerm) for case in CASES.values())


def test_only_a_term_that_is_learned_step_by_step_has_looks(term: Term) -> None:
    assert (term.evaluations is None) == term.closed_form
    if term.evaluations:
        assert [evaluation.step for evaluation in term.evaluations] == sorted(
            evaluation.step for evaluation in term.evaluations
        )


@those(lambda kind: kind.num_parameters is not Term.num_parameters)
def test_learned_numbers_are_counted(term: Term) -> None:
    floats = sum(values.numel() for values in term.state().values() if values.dtype == torch.float32)
    assert 0 < term.num_parameters <= floats


@those(lambda kind: kind.item_embeddings is not Term.item_embeddings)
def test_embeddings_have_length_one_and_items_of_a_colour_are_near(term: Term) -> None:
    assert term.item_embeddings is not None
    cosines = term.item_embeddings @ term.item_embeddings.T
    torch.testing.assert_close(cosines.diagonal(), torch.ones(term.num_items))
    nearest = (cosines - 2 * torch.eye(term.num_items)).argmax(dim=1)
    assert torch.equal(nearest % 2, torch.arange(term.num_items) % 2)


def test_only_a_term_that_says_so_relates_items(term: Term) -> None:
    whole = term.relations(0, term.num_items)
    assert whole.shape == (term.num_items, term.num_items)
    assert torch.equal(whole[3:7], term.relations(3, 7))
    assert bool(whole.any()) == term.relates_items


@those(lambda kind: kind.relates_items)
def test_relations_hold_within_a_colour(term: Term) -> None:
    nearest = term.relations(0, term.num_items).argmax(dim=1)
    assert torch.equal(nearest % 2, torch.arange(term.num_items) % 2)


def test_counts_of_the_table_reach_who_counts_by_the_hour_alone(term: Term) -> None:
    before = scores(term)
    nothing = np.empty(0, dtype=np.int64)
    term.refresh(nothing, nothing, nothing)
    assert torch.equal(scores(term), before)
    term.refresh(np.array([NOW // HOUR_MS - 1]), np.array([7]), np.array([500]))
    after = scores(term)
    if term.personalised:
        assert torch.equal(after, before)
    else:
        assert (after[:, :, 0].argmax(dim=1) == 7).all()
