"""The matrix of interactions; the Gram matrix has its tests in `test_linear_filter`, which is solved from it."""

import numpy as np

from tests.training.checkerboard import make_log
from training.terms.gram import interactions


def test_interactions_are_distinct_pairs():
    log = make_log([(0, 1, 1), (0, 1, 2), (2, 0, 3)], num_users=3, num_items=2)
    assert interactions(log).toarray().tolist() == [[0, 1], [0, 0], [1, 0]]
    largest = interactions(log, np.array([2.0, 5.0, 1.0], dtype=np.float32))
    assert largest.toarray().tolist() == [[0, 5], [0, 0], [1, 0]]
