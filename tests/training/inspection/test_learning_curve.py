"""How a model learned: the step that the fit kept, and models that cannot say."""

import pytest

from training.inspection.learning_curve import kept_step
from training.options import Look

LOOKS = [Look(2, 3.0, 0.1), Look(4, 2.0, 0.3), Look(6, 1.5, 0.3), Look(8, 1.0, 0.2)]


@pytest.mark.parametrize(
    ("looks", "step"), [(LOOKS, 4), ([look._replace(ndcg=None) for look in LOOKS], 8)], ids=["judged", "no window"]
)
def test_the_step_is_the_one_that_the_fit_kept(looks: list[Look], step: int) -> None:
    assert kept_step(looks) == step
