"""Logs and histories: spans, and what is gathered from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.checkerboard import DAY_MS, checkerboard
from training.data.event_log import concatenate_logs, gather_ranges


def test_span_of_a_log():
    log = checkerboard()
    assert log.span_hours == pytest.approx(5 * 24, abs=0.1)
    assert log.between(end=0).span_hours == 24.0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9)), max_size=8))
def test_gathered_spans_stand_one_after_the_other(spans):
    starts, lengths = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    offsets, positions = gather_ranges(starts, lengths)
    for b, (start, length) in enumerate(spans):
        assert positions[offsets[b] : offsets[b + 1]].tolist() == list(range(start, start + length))
    assert len(positions) == offsets[-1]


def test_picked_events_keep_all_their_columns():
    log = checkerboard()
    rows = np.array([7, 3, 3])
    part = log.take(rows)
    assert part.cells.tolist() == [log.users[row] * log.num_items + log.items[row] for row in rows]
    assert part.times.tolist() == log.times[rows].tolist()
    assert (part.num_users, part.num_items) == (log.num_users, log.num_items)


def test_joined_logs_are_in_time_order():
    log = checkerboard()
    both, is_new = concatenate_logs(log.between(start=2 * DAY_MS), log.between(end=2 * DAY_MS))
    assert np.array_equal(both.times, log.times)
    assert np.array_equal(is_new, log.times < 2 * DAY_MS)
