"""Similar items from a row on: the same as for all items."""

import numpy as np
import pytest

from tests.training.models.test_recommender import LOG, recommender


@pytest.mark.parametrize("sage", [False, True])
@pytest.mark.parametrize("start", [0, 1, 7, LOG.num_items - 1, LOG.num_items])
def test_from_a_row_on_the_lists_are_the_same(sage: bool, start: int) -> None:
    model = recommender(sage=sage, available=np.arange(LOG.num_items) != 2)
    rows, scores = model.similar(4)
    later_rows, later_scores = model.similar(4, start=start)
    assert later_rows.tolist() == rows[start:].tolist()
    np.testing.assert_allclose(later_scores, scores[start:], atol=1e-5)
