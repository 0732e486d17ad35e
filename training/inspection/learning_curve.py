"""How a model learned: the looks of its GraphSAGE, and which of them holds the weights that were kept.

Arrives: a `Recommender`. Leaves: `Look`s. Next: `sagestream visualize` draws them.
"""

from collections.abc import Sequence

from graphstore.errors import UserError
from training.models.recommender import Recommender
from training.options import Look


class NothingLearned(UserError):
    """The model was not learned step by step, or does not say how."""


def looks_of(model: Recommender) -> tuple[Look, ...]:
    """The looks of its GraphSAGE, at least one. Raises `NothingLearned`."""
    looks = next((term.looks for term in model.terms if term.looks is not None), None)
    if looks is None:
        raise NothingLearned(f"{model.model_version} has no GraphSAGE: nothing was learned step by step")
    if not looks:
        raise NothingLearned(f"the bundle of {model.model_version} is older than its learning curve: train a new model")
    return looks


def kept_step(looks: Sequence[Look]) -> int:
    """The step whose weights `training.sage.fit` kept: of the first best look, without a validation window of the
    last."""
    judged = [(look.ndcg, look.step) for look in looks if look.ndcg is not None]
    return max(judged, key=lambda one: one[0])[1] if judged else looks[-1].step
