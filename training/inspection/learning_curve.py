"""How a model learned: the looks of its GraphSAGE, and which of them holds the weights that were kept.

Arrives: a `Recommender`. Leaves: `FitEvaluation`s. Next: `sagestream visualize` draws them.
"""

from collections.abc import Sequence

from graphstore.errors import UserError
from training.models.recommender import Recommender
from training.options import FitEvaluation


class NothingLearned(UserError):
    """The model was not learned step by step, or does not say how."""


def evaluations_of(model: Recommender) -> tuple[FitEvaluation, ...]:
    """The looks of its GraphSAGE, at least one. Raises `NothingLearned`."""
    evaluations = next((term.evaluations for term in model.terms if term.evaluations is not None), None)
    if evaluations is None:
        raise NothingLearned(f"{model.model_version} has no GraphSAGE: nothing was learned step by step")
    if not evaluations:
        raise NothingLearned(f"the bundle of {model.model_version} is older than its learning curve: train a new model")
    return evaluations


def kept_step(evaluations: Sequence[FitEvaluation]) -> int:
    """The step whose weights `training.sage.fit` kept: of the first best look, without a validation window of the
    last."""
    judged = [(evaluation.ndcg, evaluation.step) for evaluation in evaluations if evaluation.ndcg is not None]
    return max(judged, key=lambda one: one[0])[1] if judged else evaluations[-1].step
