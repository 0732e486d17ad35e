"""Sets of numbers against Python's own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from graphstore.arrays import begins_run, difference, distinct, find_sorted, run_starts

NUMBERS = arrays(np.int64, st.integers(0, 12), elements=st.integers(-4, 4) | st.integers(-(2**62), 2**62))


@given(NUMBERS)
def test_distinct_numbers_are_the_set_in_ascending_order(numbers):
    before = numbers.copy()
    assert distinct(numbers).tolist() == sorted(set(numbers.tolist()))
    assert np.array_equal(numbers, before)


def test_a_table_is_taken_as_one_row():
    assert distinct(np.array([[3, 1], [1, 2]])).tolist() == [1, 2, 3]


@given(NUMBERS, NUMBERS)
def test_a_difference_is_that_of_the_sets(numbers, others):
    assert difference(numbers, others).tolist() == sorted(set(numbers.tolist()) - set(others.tolist()))


@given(NUMBERS, NUMBERS)
def test_numbers_are_found_where_they_stand(numbers, others):
    ascending = np.sort(others)
    places, found = find_sorted(numbers, ascending)
    assert found.tolist() == [number in others.tolist() for number in numbers.tolist()]
    assert np.array_equal(ascending[places[found]], numbers[found])


@given(NUMBERS)
def test_runs_start_where_the_number_changes(numbers):
    ordered = np.sort(numbers)
    starts = run_starts(ordered)
    assert np.array_equal(ordered[starts], distinct(numbers))
    parts = np.split(ordered, starts[1:])
    assert all(len(set(part.tolist())) == 1 for part in parts if len(part))
    assert sum(len(part) for part in parts) == len(numbers)


def test_a_run_of_several_columns_begins_where_any_of_them_changes():
    one, other = np.array([1, 1, 1, 2, 2]), np.array([5, 5, 6, 6, 6])
    assert begins_run(one, other).tolist() == [True, False, True, True, False]
    assert begins_run(one[:0], other[:0]).tolist() == []
