"""Pairs of a shopper and a known item: days, ages, gaps and visits, against a count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphstore.tables import DAY_MS
from training.data.event_log import Histories
from training.terms.habit.pairs import HALF_LIVES_DAYS, Pairs

NOON = DAY_MS // 2
MILK, PAN = 3, 7


def one_shopper(*days_and_items: tuple[float, int]) -> Histories:
    return Histories.from_rows([[(item, int(day * DAY_MS), 3) for day, item in days_and_items]])


def test_days_ages_gaps_and_visits_of_a_shopper() -> None:
    history = one_shopper((0, MILK), (0.5, MILK), (2, PAN), (7, MILK), (9.1, PAN), (9.2, MILK), (12, 5))
    pairs = Pairs.of(history, as_of=14 * DAY_MS)
    assert pairs.items.tolist() == [MILK, 5, PAN]
    assert pairs.num_days.tolist() == [3, 1, 2]  # twice on day 0 is one day
    assert pairs.gaps.tolist() == [7, 2, 7]
    assert pairs.gap_pairs().tolist() == [0, 0, 2]
    assert pairs.first_age.tolist() == [14, 2, 12]
    assert pairs.last_age.tolist() == [5, 2, 5]
    assert pairs.visits.tolist() == [5, 5, 5]  # days 0, 2, 7, 9, 12
    assert pairs.visits_since.tolist() == [1, 0, 1]
    assert pairs.visits_from_first.tolist() == [5, 1, 4]
    assert pairs.user_first_age.tolist() == [14, 14, 14]
    assert pairs.user_last_age.tolist() == [2, 2, 2]
    assert pairs.same_weekday.tolist() == pytest.approx([2 / 3, 0, 0])  # days 0 and 7


def test_counts_are_decayed_by_the_exact_age() -> None:
    life = HALF_LIVES_DAYS[0]
    pairs = Pairs.of(one_shopper((0, MILK), (life, MILK), (2 * life, PAN)), as_of=int(2 * life * DAY_MS))
    assert pairs.own[:, 0].tolist() == pytest.approx([0.25 + 0.5, 1.0])
    assert pairs.total[:, 0].tolist() == pytest.approx([1.75, 1.75])


def test_what_comes_at_that_time_or_later_is_new_and_not_in_the_future() -> None:
    pairs = Pairs.of(one_shopper((3.5, MILK)), as_of=3 * DAY_MS + NOON)
    assert pairs.last_age.tolist() == [1]
    assert pairs.own.tolist() == [[1.0, 1.0, 1.0]]
    assert Pairs.of(one_shopper((5, MILK)), as_of=0).own.tolist() == [[1.0, 1.0, 1.0]]


def test_nobody_has_no_pairs() -> None:
    pairs = Pairs.of(Histories.from_rows([[], []]), as_of=0)
    assert len(pairs) == len(pairs.gaps) == 0
    assert pairs.own.shape == (0, len(HALF_LIVES_DAYS))


EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30 * 24), st.just(3)), max_size=25)


@given(st.lists(EVENTS, max_size=4), st.lists(st.integers(30, 40), min_size=4, max_size=4))
def test_any_histories_are_counted_as_by_hand(rows: list[list[tuple[int, int, int]]], nows: list[int]) -> None:
    rows = [[(item, hour * 3_600_000, kind) for item, hour, kind in user] for user in rows]
    as_of = np.array(nows[: len(rows)], dtype=np.int64) * DAY_MS
    pairs = Pairs.of(Histories.from_rows(rows), as_of=as_of)
    gaps = np.split(pairs.gaps, np.cumsum(pairs.num_days - 1)[:-1]) if len(pairs) else []
    expected = [(user, item) for user, events in enumerate(rows) for item in sorted({row[0] for row in events})]
    assert list(zip(pairs.users.tolist(), pairs.items.tolist(), strict=True)) == expected
    for pair, (user, item) in enumerate(expected):
        today = nows[user]
        days = sorted({time // DAY_MS for one, time, _ in rows[user] if one == item})
        visits = sorted({time // DAY_MS for _, time, _ in rows[user]})
        assert pairs.num_days[pair] == len(days)
        assert gaps[pair].tolist() == np.diff(days).tolist()
        assert pairs.last_age[pair] == max(today - days[-1], 1)
        assert pairs.first_age[pair] == max(today - days[0], 1)
        assert pairs.visits[pair] == len(visits)
        assert pairs.visits_since[pair] == sum(day > days[-1] for day in visits)
        assert pairs.visits_from_first[pair] == sum(day >= days[0] for day in visits)
        assert pairs.same_weekday[pair] == pytest.approx(np.mean([day % 7 == today % 7 for day in days]))
    chosen = np.flatnonzero(np.arange(len(pairs)) % 2)[::-1]
    part = pairs.take(chosen)
    assert part.gaps.tolist() == [gap for pair in chosen for gap in gaps[pair].tolist()]
    assert np.array_equal(part.num_days, pairs.num_days[chosen])
    assert np.array_equal(part.own, pairs.own[chosen])
