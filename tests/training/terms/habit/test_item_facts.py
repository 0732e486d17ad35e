"""What is known of an item: who comes back, after how long, and how popular it is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.checkerboard import DAY_MS, make_log
from training.data.event_log import EventLog
from training.terms.habit.hazard import Hazards
from training.terms.habit.item_facts import PRIOR_BUYERS, ItemFacts, Popularity, expected_repeats
from training.terms.habit.pairs import HALF_LIVES_DAYS, Pairs

# Thirty buy milk (0) on days 0, 4 and 8, thirty a pan (1) twice on day 2; item 2 is never sold.
MILK_AND_PANS = make_log(
    [(user, 0, day * DAY_MS) for user in range(30) for day in (0, 4, 8)]
    + [(user, 1, 2 * DAY_MS + hour) for user in range(30) for hour in range(2)],
    num_users=30,
    num_items=3,
)


def facts_of(log: EventLog) -> tuple[ItemFacts, Pairs]:
    pairs = Pairs.of(log.histories(np.arange(log.num_users)), as_of=int(log.times[-1]) + 1)
    return ItemFacts.of(log, pairs), pairs


def test_milk_is_bought_again_and_a_pan_is_not() -> None:
    facts, _ = facts_of(MILK_AND_PANS)
    average = (30 + 0.5) / 61
    again = [(30 + PRIOR_BUYERS * average) / 50, PRIOR_BUYERS * average / 50, average, average]
    assert (1 / (1 + np.exp(-facts.again))).tolist() == pytest.approx(again)
    gap = (60 * 4 + 0.5) / 61
    assert facts.gap_days.tolist() == pytest.approx([(60 * 4 + PRIOR_BUYERS * gap) / 80, gap, gap, gap])
    assert facts.rows(np.array([0, 2, 3, 50])).tolist() == [0, 2, 3, 3]


def test_expected_repeats_are_the_integral_over_finished_and_open_gaps() -> None:
    _, pairs = facts_of(MILK_AND_PANS)
    hazards = Hazards(np.full((4, 17), 0.1))
    expected = expected_repeats(pairs, hazards).reshape(30, 2)
    assert expected[:, 0] == pytest.approx(0.1 * (4 + 4 + 1))
    assert expected[:, 1] == pytest.approx(0.1 * 6)


def test_popularity_is_decayed_to_the_newest_event() -> None:
    life = HALF_LIVES_DAYS[0]
    log = make_log([(0, 0, 0), (0, 1, int(life * DAY_MS) - 1)], num_users=1, num_items=2)
    popularity = Popularity.of(log)
    assert popularity.clock == life * DAY_MS
    assert popularity.counts[:, 0] == pytest.approx([0.5, 1.0])


@given(st.lists(st.tuples(st.just(0), st.integers(0, 4), st.integers(0, 300 * DAY_MS)), max_size=30), st.data())
def test_popularity_counts_alike_in_any_parts_and_order(rows: list[tuple[int, int, int]], data: st.DataObject) -> None:
    log = make_log(rows, num_users=1, num_items=5)
    whole = Popularity.of(log)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(log), max_size=len(log))), dtype=np.bool_)
    one, other = log.take(np.flatnonzero(mask)), log.take(np.flatnonzero(~mask))
    parts = Popularity.of(one).with_events(other)
    assert parts.clock == whole.clock
    np.testing.assert_allclose(parts.counts, whole.counts, rtol=1e-9, atol=1e-12)


def test_new_events_change_the_popularity_alone() -> None:
    facts, _ = facts_of(MILK_AND_PANS)
    later = replace(MILK_AND_PANS, times=MILK_AND_PANS.times + 20 * DAY_MS, num_items=5)
    grown = facts.with_events(later)
    assert grown.num_items == facts.grown(5).num_items == 5
    assert facts.num_items == 3
    assert replace(grown, popularity=facts.popularity) == facts
    assert grown.popularity.counts[0, 0] > facts.popularity.counts[0, 0]
    assert not facts.grown(5).popularity.counts[3:].any()
