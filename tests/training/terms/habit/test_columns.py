"""The columns of a pair, each against its formula."""

from dataclasses import replace
from math import log, log1p

import numpy as np
import pytest

from graphstore.tables import DAY_MS
from tests.training.checkerboard import make_log
from training.data.event_log import Histories
from training.terms.habit.columns import COLUMN_NAMES, columns_of
from training.terms.habit.hazard import Hazards
from training.terms.habit.item_facts import ItemFacts, Popularity
from training.terms.habit.pairs import Pairs

RATE, HORIZON, K = 0.05, 10.0, 2.0
FACTS = ItemFacts(
    hazards=Hazards(np.full((3, 17), RATE)),
    frailty=K,
    again=np.array([0.5, -1.0, -0.25]),
    gap_days=np.array([9.0, 30.0, 20.0]),
    popularity=Popularity(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), 0),
)
# Milk (0) on days 0, 7, 14; a pan (1) on day 10. Days of visits: 0, 7, 10, 14. It is day 16, two weekdays after.
HISTORY = Histories.from_rows([[(0, day * DAY_MS, 3) for day in (0, 7, 14)] + [(1, 10 * DAY_MS, 3)]])


def named(history: Histories = HISTORY, facts: ItemFacts = FACTS) -> dict[str, list[float]]:
    columns = columns_of(Pairs.of(history, as_of=16 * DAY_MS), facts, horizon_days=HORIZON)
    assert columns.dtype == np.float32
    return dict(zip(COLUMN_NAMES, columns.T.tolist(), strict=True))


def test_there_are_31_and_each_is_finite_for_a_shopper_of_one_event() -> None:
    assert len(set(COLUMN_NAMES)) == 31
    values = named(Histories.from_rows([[(1, 15 * DAY_MS, 3)]]))
    assert np.isfinite(list(values.values())).all()


def test_cadence() -> None:
    found = named()
    ahead = RATE * HORIZON
    expected = np.array([RATE * (7 + 7 + 2), RATE * 6])
    repeats = np.array([2, 0])
    theta = (K + repeats) / (K + expected)
    assert found["hazard_average"] == pytest.approx([log1p(100 * (1 - np.exp(-ahead)))] * 2)
    assert found["hazard_expected"] == pytest.approx(np.log1p(100 * theta * ahead))
    chance = 1 - (1 + ahead / (K + expected)) ** -(K + repeats)
    assert found["hazard_probability"] == pytest.approx(np.log1p(100 * chance))
    assert found["frailty"] == pytest.approx(np.log(theta))
    intervals = np.array([(14 + 9) / 3, 30.0])
    assert found["interval"] == pytest.approx(np.log1p(intervals))
    overdue = np.log(np.array([2, 6]) / intervals + 0.05)
    assert found["age_in_intervals"] == pytest.approx(overdue)
    assert found["age_in_intervals_squared"] == pytest.approx(overdue**2)


def test_visits_and_ages() -> None:
    found = named()
    assert found["visits_since"] == pytest.approx([0, log(2)])
    assert found["visit_share"] == pytest.approx([3 / 4, 1 / 2])
    assert found["visits_since_in_usual"] == pytest.approx([0, log1p(1 / 1)])
    assert found["once"] == [0, 1]
    assert found["same_weekday"] == [0, 0]
    assert found["visits"] == pytest.approx([log(5)] * 2)
    assert found["visit_age"] == pytest.approx([log(3)] * 2)
    assert found["visit_rate"] == pytest.approx([4 / 16] * 2)
    assert found["age"] == pytest.approx(np.log1p([2, 6]))
    assert found["first_age"] == pytest.approx(np.log1p([16, 6]))
    assert found["days"] == pytest.approx(np.log1p([3, 1]))


def test_counts() -> None:
    found = named()
    milk = sum(2 ** (-age / 45) for age in (16, 9, 2))
    total = milk + 2 ** (-6 / 45)
    assert found["own_45"][0] == pytest.approx(log1p(100 * milk))
    assert found["share_45"][0] == pytest.approx(log1p(1000 * milk / total))
    assert found["total_45"] == pytest.approx([log1p(total)] * 2)
    assert found["popularity_45"] == pytest.approx(np.log1p([2.0, 5.0]))
    assert found["again"] == pytest.approx([0.5, -1.0])


def test_an_item_that_came_later_has_the_facts_of_the_average() -> None:
    found = named(Histories.from_rows([[(4, 10 * DAY_MS, 3)]]), FACTS.grown(6))
    assert found["again"] == [-0.25]
    assert found["interval"] == pytest.approx([log1p(20)])
    assert found["popularity_15"] == [0]


def test_after_a_very_long_time_the_share_still_stands() -> None:
    later = columns_of(Pairs.of(HISTORY, as_of=40_000 * DAY_MS), FACTS, horizon_days=HORIZON)
    assert np.isfinite(later).all()


def test_facts_of_the_past_do_not_know_what_comes_later() -> None:
    rows = [(user, item, (user + 5 * item) * DAY_MS) for user in range(20) for item in range(4)]
    logs = [make_log(rows + more, num_users=20, num_items=4) for more in ([], [(0, 3, 16 * DAY_MS)] * 50)]
    found = []
    for whole in logs:
        past = whole.between(end=16 * DAY_MS)
        pairs = Pairs.of(past.histories(np.arange(20)), as_of=16 * DAY_MS)
        found.append(columns_of(pairs, ItemFacts.of(past, pairs), horizon_days=HORIZON))
    assert np.array_equal(*found)
    assert not np.array_equal(
        found[0], columns_of(pairs, replace(ItemFacts.of(past, pairs), frailty=9.0), horizon_days=3)
    )
