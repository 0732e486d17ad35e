"""Keys of a score and a row, and the heap that keeps the largest of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.terms.topk_heap import LOWEST, key_of, replace_least, rows_of

levels = st.integers(-(2**31) + 1, 2**31 - 1)
rows = st.integers(0, 2**32 - 1)


@given(levels, rows, levels, rows)
def test_a_larger_score_is_a_larger_key_and_of_equal_ones_the_lower_row(level, row, other_level, other_row):
    key, other = key_of(level, row), key_of(other_level, other_row)
    assert (key > other) == ((level, -row) > (other_level, -other_row))
    assert rows_of(np.array([key, other])).tolist() == [row, other_row]
    assert key > LOWEST


@given(st.lists(levels), st.integers(1, 6))
def test_the_heap_keeps_the_largest(keys, size):
    heap = np.full(size, LOWEST, dtype=np.int64)
    for key in keys:
        if key > heap[0]:
            replace_least(heap, key)
    kept = sorted(key for key in heap.tolist() if key != LOWEST)
    assert kept == sorted(keys)[-size:]
