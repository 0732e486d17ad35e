"""The trend: counts that no order can change, several half-lives, the clock."""

from math import inf

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphstore.tables import HOUR_MS
from tests.training.checkerboard import joined, make_log
from training.data.event_log import Histories
from training.terms.trend import Trend

# Item 0 was bought ten times long ago, item 1 four times lately.
ROWS = [(0, 0, hour * HOUR_MS) for hour in range(10)] + [(0, 1, hour * HOUR_MS) for hour in range(96, 100)]
LOG = make_log(ROWS, num_users=1, num_items=3)


def test_a_short_half_life_sees_what_rises():
    term = Trend.fit(LOG, (5.0, inf))
    features = term.score(Histories.from_rows([[], []]), as_of=100 * HOUR_MS)
    assert features.shape == (2, 3, 2)
    assert features[0, 1, 0] > features[0, 0, 0]
    torch.testing.assert_close(features[1, :, 1], torch.log1p(torch.tensor([10.0, 4.0, 0.0])))


def test_events_weigh_half_after_a_half_life():
    log = make_log([(0, 0, 30 * 60_000)], num_users=1, num_items=1)  # in the middle of hour 0
    features = Trend.fit(log, (8.0,)).features_at(as_of=8 * HOUR_MS + 30 * 60_000)
    torch.testing.assert_close(features, torch.log1p(torch.tensor([[0.5]])))


def test_half_lives_are_shares_of_the_span():
    term = Trend.fit(LOG)
    assert term.half_lives_hours == (99 / 4, 99 / 16, 99 / 64, 1.0, inf)


@settings(max_examples=25)
@given(st.permutations(ROWS), st.integers(1, 13))
def test_order_and_batches_change_nothing(rows, cut):
    past, new = (make_log(part, num_users=1, num_items=3) for part in (rows[:cut], rows[cut:]))
    term = Trend.fit(past, (5.0, inf))
    term.update(joined(past, new))
    whole = Trend.fit(LOG, (5.0, inf))
    assert torch.equal(term.features_at(as_of=200 * HOUR_MS), whole.features_at(as_of=200 * HOUR_MS))
    for name, tensor in whole.state().items():
        assert torch.equal(term.state()[name], tensor)


def test_counts_of_the_table_replace_from_their_first_hour_on():
    term = Trend.fit(LOG, (inf,))
    term.refresh(np.array([97, 98]), np.array([1, 2]), np.array([7, 5]))
    expected = torch.log1p(torch.tensor([10.0, 1 + 7.0, 5.0]))
    torch.testing.assert_close(term.features_at(as_of=0)[:, 0], expected)
    term.refresh(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    torch.testing.assert_close(term.features_at(as_of=0)[:, 0], expected)


@settings(max_examples=40)
@given(
    events=st.lists(st.tuples(st.just(0), st.integers(0, 2), st.integers(0, 60 * HOUR_MS)), min_size=1, max_size=30),
    times=st.lists(st.integers(0, 90 * HOUR_MS), min_size=1, max_size=6),
)
def test_with_a_time_for_each_user_only_earlier_hours_count(events, times):
    log = make_log(events, num_users=1, num_items=3)
    lives = (7.0, 40.0, inf)
    at_once = Trend.fit(log, lives).score(Histories.from_rows([[]] * len(times)), as_of=np.array(times))
    for time, features in zip(times, at_once, strict=True):
        known = Trend.fit(log.between(end=time // HOUR_MS * HOUR_MS), lives)
        torch.testing.assert_close(features, known.features_at(as_of=time), atol=1e-4, rtol=1e-4)
