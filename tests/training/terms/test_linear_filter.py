"""The linear filter: the closed form, exact upkeep, the checkerboard's right answer."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch

from tests.training.checkerboard import DAY_MS, checkerboard, joined, make_log
from training.data.event_log import GrownLog, Histories
from training.terms import linear_filter
from training.terms.linear_filter import FilterSettings, LinearFilter
from training.terms.local_ridge import local_ridge_weights

LOG = checkerboard()


def dense(term: LinearFilter) -> torch.Tensor:
    return term.relations(0, term.num_items)


def test_it_is_the_regression_of_each_item_on_the_others():
    settings = FilterSettings(regularisation=0.5)
    matrix = np.zeros((LOG.num_users, LOG.num_items))
    matrix[LOG.users, LOG.items] = 2.0  # the root of a purchase's weight of 4
    gram = matrix.T @ matrix
    penalty = 0.5 * gram.diagonal().mean()
    weights = dense(LinearFilter.fit(LOG, settings)).numpy()
    for item in (0, 7):
        others = np.arange(LOG.num_items) != item
        ridge = np.linalg.solve(gram[np.ix_(others, others)] + penalty * np.eye(others.sum()), gram[others, item])
        np.testing.assert_allclose(weights[others, item], ridge, atol=1e-5)
    assert (weights.diagonal() == 0).all()


@pytest.mark.parametrize("half_life", [inf, 2.0 * DAY_MS])
@pytest.mark.parametrize(("max_items", "neighbours"), [(10_000, 100), (8, 100), (8, 3)])
def test_updates_come_to_the_same_as_one_fit(half_life, max_items, neighbours):
    settings = FilterSettings(gram_half_life_ms=half_life, max_items=max_items, neighbours=neighbours)
    whole = LinearFilter.fit(LOG, settings)
    term = LinearFilter.fit(LOG.between(end=2 * DAY_MS), settings)
    term.update(GrownLog.since(LOG, 2 * DAY_MS, 4 * DAY_MS))
    term.update(GrownLog.since(LOG, 4 * DAY_MS))
    assert abs(dense(term) - dense(whole)).max() < 1e-4
    half = LOG.between(end=2 * DAY_MS)
    loaded = LinearFilter.from_state(LinearFilter.fit(half, settings).state())
    loaded.update(GrownLog.since(LOG, 2 * DAY_MS))
    assert abs(dense(loaded) - dense(whole)).max() < 1e-4


def test_beyond_the_dense_size_it_is_the_same_regression_where_all_are_neighbours():
    beyond = dense(LinearFilter.fit(LOG, FilterSettings(max_items=8)))
    torch.testing.assert_close(beyond, dense(LinearFilter.fit(LOG)), atol=1e-5, rtol=1e-4)
    assert (beyond.diagonal() == 0).all()
    rarest = int(np.bincount(LOG.items).argmin())
    assert beyond[rarest].any()
    assert beyond[:, rarest].any()


def test_an_update_may_lead_beyond_the_dense_size():
    settings = FilterSettings(max_items=LOG.num_items)
    term = LinearFilter.fit(LOG.between(end=3 * DAY_MS), settings)
    log = replace(LOG, num_items=LOG.num_items + 1)
    term.update(GrownLog.since(log, 3 * DAY_MS))
    whole = LinearFilter.fit(log, settings)
    assert term.num_items == LOG.num_items + 1
    torch.testing.assert_close(dense(term), dense(whole))


def test_new_items_come_last():
    term = LinearFilter.fit(LOG)
    rows = [(user, LOG.num_items, 20 * DAY_MS) for user in range(0, 40, 2)]
    grown = make_log(rows, num_users=LOG.num_users, num_items=LOG.num_items + 1)
    term.update(joined(LOG, grown))
    assert term.num_items == LOG.num_items + 1
    response = term.response(Histories.from_rows([[(0, 1, 3)], [(1, 1, 3)]]))
    assert response[0, -1] > response[1, -1]


def test_the_decayed_gram_matrix_prefers_what_goes_together_now():
    early = [(user, item, user) for user in range(10) for item in (0, 1)]
    late = [(user, item, 100 * DAY_MS + user) for user in range(10, 18) for item in (0, 2)]
    log = make_log(early + late, num_users=18, num_items=4)
    plain = dense(LinearFilter.fit(log))
    decayed = dense(LinearFilter.fit(log, FilterSettings(gram_half_life_ms=10 * DAY_MS)))
    assert plain[0, 1] > plain[0, 2]
    assert decayed[0, 2] > decayed[0, 1]


def test_the_profile_forgets_by_rank():
    history = Histories.from_rows([[(0, 1, 3), (1, 2, 3)]])
    term = LinearFilter.fit(LOG).variant(profile_half_life=1.0)
    expected = 2 * dense(term)[1] + 1 * dense(term)[0]
    torch.testing.assert_close(term.response(history)[0], expected)
    torch.testing.assert_close(term.response(history, half_life=inf)[0], 2 * dense(term)[1] + 2 * dense(term)[0])
    last_only = LinearFilter.fit(LOG, replace(term.settings, profile_events=1))
    torch.testing.assert_close(last_only.response(history)[0], 2 * dense(term)[1])


@pytest.mark.parametrize(("max_items", "passes"), [(100, 0), (1, 1)])
def test_each_penalty_of_a_search_is_as_a_fit_and_a_large_catalogue_needs_one_pass(monkeypatch, max_items, passes):
    solved = []

    def counted(*given, **settings):
        solved.append(settings["regularisations"])
        return local_ridge_weights(*given, **settings)

    monkeypatch.setattr(linear_filter, "local_ridge_weights", counted)
    settings, values = FilterSettings(profile_half_life=7.0, max_items=max_items, neighbours=3), (6.0, 0.5, 20.0)
    found = list(LinearFilter.fit_each(LOG, settings, values))
    again = list(found[2].regularised(values[:2]))
    assert not list(found[0].regularised(()))
    assert len(solved) == 2 * passes
    for value, term in zip(values + values[:2], found + again, strict=True):
        assert term.settings == replace(settings, regularisation=value)
        assert torch.equal(dense(term), dense(LinearFilter.fit(LOG, term.settings)))
    assert not torch.equal(dense(found[0]), dense(found[1]))


def test_only_the_strongest_weights_of_a_row_are_kept():
    whole = dense(LinearFilter.fit(LOG))
    kept = dense(LinearFilter.fit(LOG, FilterSettings(row_weights=3)))
    assert (kept != 0).sum(dim=1).max() <= 3
    assert (kept.abs().amax(dim=1) == whole.abs().amax(dim=1)).all()


def test_the_state_brings_it_back():
    term = LinearFilter.fit(LOG, FilterSettings(regularisation=2.0)).variant(profile_half_life=7.0)
    again = LinearFilter.from_state(term.state())
    assert again.settings == term.settings
    assert torch.equal(dense(again), dense(term))
    with pytest.raises(RuntimeError, match="past"):
        next(again.regularised([1.0]))


def test_a_state_from_before_there_were_neighbourhoods_brings_it_back():
    term = LinearFilter.fit(LOG, FilterSettings(row_weights=4, max_items=9))
    state = term.state()
    state["settings"] = state["settings"][:6]
    again = LinearFilter.from_state(state)
    assert again.settings == term.settings
    assert torch.equal(dense(again), dense(term))
