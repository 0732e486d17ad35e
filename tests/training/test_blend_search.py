"""The blend search: enough users choose the best variant, too few leave the default."""

import numpy as np

from training.blend_search import FEWEST_USERS, best


def test_enough_users_choose_the_best_of_the_variants():
    scores = [np.full(FEWEST_USERS, mean) for mean in (0.1, 0.3, 0.2)]
    assert best(scores) == 1
    assert best([scores[1], scores[1]]) == 0


def test_too_few_leave_the_default():
    assert best([np.full(FEWEST_USERS - 1, mean) for mean in (0.1, 0.3, 0.2)]) == 0
    assert best([np.empty(0), np.empty(0)]) == 0
