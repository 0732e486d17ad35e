"""The factorisation: rows solve their normal equations, and iterations come to what exact least squares come to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.checkerboard import checkerboard, joined, make_log
from training.data.event_log import Histories
from training.terms.als import AlsTerm, AlsTermSettings

LOG = checkerboard()
SMALL = AlsTermSettings(regularisation=0.5, factors=2, iterations=10)


def loss(log, term: AlsTerm) -> float:
    """What ALS minimises, with each shopper at their best."""
    users = term.user_vectors(log.histories(np.arange(log.num_users))).astype(np.float64)
    items = term.state()["items"].numpy().astype(np.float64)
    taken = np.zeros((log.num_users, log.num_items))
    taken[log.users, log.items] = 1.0
    confidence = 1.0 + term.settings.alpha * taken
    squares = confidence * (taken - users @ items.T) ** 2
    return float(squares.sum() + term.settings.regularisation * ((users**2).sum() + (items**2).sum()))


def test_iterations_lower_the_loss_to_that_of_exact_least_squares():
    losses = [
        loss(LOG, AlsTerm.fit(LOG, AlsTermSettings(regularisation=0.5, factors=2, iterations=iterations)))
        for iterations in (1, 2, 40)
    ]
    assert losses == sorted(losses, reverse=True)

    rng = np.random.default_rng(0)
    items = 0.01 * rng.standard_normal((LOG.num_items, 2))
    taken = np.zeros((LOG.num_users, LOG.num_items))
    taken[LOG.users, LOG.items] = 1.0

    def solved(matrix: np.ndarray, other: np.ndarray) -> np.ndarray:
        systems = [other.T @ (other * (1 + row)[:, None]) + 0.5 * np.eye(2) for row in matrix]
        return np.stack([np.linalg.solve(a, 2 * other.T @ row) for a, row in zip(systems, matrix, strict=True)])

    for _ in range(40):
        users = solved(taken, items)
        items = solved(taken.T, users)
    exact = AlsTerm(items.astype(np.float32), SMALL)
    assert losses[-1] == pytest.approx(loss(LOG, exact), rel=0.01)


@given(
    rows=st.lists(st.lists(st.integers(0, LOG.num_items - 1), max_size=30), min_size=1, max_size=5),
    alpha=st.floats(0.0, 40.0),
    regularisation=st.floats(0.1, 100.0),
)
def test_shoppers_solve_their_normal_equations(rows, alpha, regularisation):
    items = np.random.default_rng(0).standard_normal((LOG.num_items, 6)).astype(np.float32)
    term = AlsTerm(items, AlsTermSettings(alpha, regularisation, 6, 1))
    vectors = term.user_vectors(Histories.from_rows([[(item, 0, 3) for item in row] for row in rows]))
    for vector, row in zip(vectors, rows, strict=True):
        taken = items[np.unique(np.array(row, dtype=np.int64))].astype(np.float64)
        system = items.T.astype(np.float64) @ items + regularisation * np.eye(6) + alpha * taken.T @ taken
        expected = np.linalg.solve(system, (1 + alpha) * taken.sum(axis=0))
        assert vector == pytest.approx(expected, abs=2e-3)


def test_cold_users_get_no_opinion():
    scores = AlsTerm.fit(LOG, SMALL).score(Histories.from_rows([[]]), as_of=0)
    assert scores.isfinite().all()
    assert (scores[0] == scores[0, 0]).all()


def test_an_update_comes_near_to_what_a_fit_on_everything_has():
    new = make_log(
        [(user, LOG.num_items, 10**12) for user in range(0, LOG.num_users, 2)],
        num_users=LOG.num_users,
        num_items=LOG.num_items + 1,
    )
    grown = joined(LOG, new)
    whole = grown.log
    term = AlsTerm.fit(LOG, SMALL)
    term.update(grown)
    assert loss(whole, term) == pytest.approx(loss(whole, AlsTerm.fit(whole, SMALL)), rel=0.02)
