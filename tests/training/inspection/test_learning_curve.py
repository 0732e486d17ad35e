"""How a model learned: the step that the fit kept, and models that cannot say."""

import pytest

from training.inspection.learning_curve import kept_step
from training.options import FitEvaluation

EVALUATIONS = [
    FitEvaluation(2, 3.0, 0.1),
    FitEvaluation(4, 2.0, 0.3),
    FitEvaluation(6, 1.5, 0.3),
    FitEvaluation(8, 1.0, 0.2),
]


@pytest.mark.parametrize(
    ("evaluations", "step"),
    [(EVALUATIONS, 4), ([one._replace(ndcg=None) for one in EVALUATIONS], 8)],
    ids=["judged", "no window"],
)
def test_the_step_is_the_one_that_the_fit_kept(evaluations: list[FitEvaluation], step: int) -> None:
    assert kept_step(evaluations) == step
