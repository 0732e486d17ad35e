"""Evidence: parts that add up to the score, and the events that carried it."""

import numpy as np
import pytest

from graphstore.tables import EVENT_TYPES
from tests.training.models.test_recommender import KEYS, LOG, START, keyed, recommender

VIEW, PURCHASE = EVENT_TYPES.index("view"), EVENT_TYPES.index("purchase")


@pytest.mark.parametrize("options", [{}, {"repeats": True}, {"sage": True}])
@pytest.mark.parametrize("rows", [(), (0,), (0, 2, 4, 2)])
def test_the_parts_of_the_terms_are_the_score(options: dict[str, bool], rows: tuple[int, ...]) -> None:
    model = recommender(**options)
    history = keyed(*rows)
    best, scores = model.rank_one(history, as_of=START, k=5)
    found = model.evidence(history, best, as_of=START)
    assert [one.item_key for one in found] == KEYS[best].tolist()
    assert [sum(one.terms.values()) for one in found] == pytest.approx(scores.tolist(), abs=1e-4)
    assert {*found[0].terms} == {term.name for term in model.terms}


@pytest.mark.parametrize("sage", [False, True])
def test_the_events_of_the_own_half_carried_its_items(sage: bool) -> None:
    model = recommender(sage=sage)
    history = keyed(0, 1, 2, 4)
    for one in model.evidence(history, np.array([6, 8, 10]), as_of=START, carriers=9):
        halves = {0: 0.0, 1: 0.0}
        for carrier in one.carriers:
            halves[int(np.flatnonzero(carrier.item_key == KEYS)[0]) % 2] += carrier.share
        assert halves[0] > 0.9
        assert sum(halves.values()) == pytest.approx(1)
        assert [carrier.share for carrier in one.carriers] == sorted(
            (carrier.share for carrier in one.carriers), reverse=True
        )


def test_only_the_largest_carriers_are_named_and_nobody_carries_for_a_stranger() -> None:
    model = recommender()
    (one,) = model.evidence(keyed(0, 2, 4, 6), np.array([8]), as_of=START, carriers=2)
    assert len(one.carriers) == 2
    (none,) = model.evidence([], np.array([8]), as_of=START)
    assert none.carriers == ()


def test_a_purchase_is_named_before_a_later_view_of_the_same_item() -> None:
    model = recommender()
    history = [(int(KEYS[2]), 10, PURCHASE), (int(KEYS[2]), 20, VIEW)]
    (one,) = model.evidence(history, np.array([4]), as_of=START)
    (carrier,) = one.carriers
    assert (carrier.item_key, carrier.event_type, carrier.share) == (KEYS[2], PURCHASE, pytest.approx(1))


def test_what_graphsage_loses_without_an_item_is_what_the_item_carried() -> None:
    model = recommender(sage=True)
    term = model.terms[-1]
    history = LOG.histories(np.array([0]), before=START)
    rows = np.array([1, 2, 3])
    weights = np.ones(1, dtype=np.float32)
    carried = term.carried(history, weights, rows, as_of=START)
    for item in np.unique(history.items):
        kept = np.flatnonzero(history.items != item)
        without = type(history)(
            offsets=np.array([0, len(kept)]),
            items=history.items[kept],
            times=history.times[kept],
            types=history.types[kept],
        )
        lost = term.score(history, as_of=START)[0, rows, 0] - term.score(without, as_of=START)[0, rows, 0]
        np.testing.assert_allclose(carried[history.items == item].sum(axis=0), lost, atol=1e-5)
