"""Logs and histories: spans, and what is gathered from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.checkerboard import DAY_MS, checkerboard
from training.data.event_log import GrownLog, gather_ranges


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


def test_a_log_grows_by_what_is_new_and_by_what_came_late():
    log = checkerboard()
    grown = GrownLog.since(log, 2 * DAY_MS, 4 * DAY_MS)
    assert grown.events.times.tolist() == log.between(2 * DAY_MS, 4 * DAY_MS).times.tolist()
    assert np.shares_memory(grown.log.times, log.times) and np.shares_memory(grown.events.times, log.times)
    late = np.zeros(len(log), dtype=np.bool_)
    late[[1, 7, -1]] = True
    grown = GrownLog.since(log, 2 * DAY_MS, 4 * DAY_MS, late=late)  # the last is later than the end
    assert grown.log.times.tolist() == log.between(end=4 * DAY_MS).times.tolist()
    assert np.flatnonzero(grown.is_new).tolist() == [1, 7, *np.flatnonzero(grown.log.times >= 2 * DAY_MS)]
    assert grown.events.items.tolist() == grown.log.items[grown.is_new].tolist()
    assert len(GrownLog.since(log, 99 * DAY_MS).events) == 0
