"""Race: stops a shape of GraphSAGE that falls behind the best shape so far.

Arrives: the evaluations of fits, one fit after the other. Leaves: whether the running fit is far behind. Next:
`training.search.model_search` asks after each evaluation.

Two fits are compared where they have seen equally many targets: a shape may have larger batches than another one. A fit
is never judged before it has seen half of what the best fit needed for its best weights, because shapes with small
learning rates begin slowly.

Rejected: successive halving (Jamieson & Talwalkar, 2016). It needs all fits in memory at once, and there are three.
"""

from dataclasses import dataclass, field

from training.options import FitEvaluation

MARGIN = 0.1
"""A fit is far behind when its best NDCG so far is lower by this share than the best fit's at the same point."""

FIRST_SHARE = 0.5
"""Of the targets that the best fit had seen at its best evaluation: before, nobody is judged."""


@dataclass(frozen=True)
class Lap:
    """The evaluations of one fit, with the number of targets in a step."""

    batch_size: int
    evaluations: list[FitEvaluation] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """Targets seen at the newest evaluation."""
        return self.evaluations[-1].step * self.batch_size if self.evaluations else 0

    def best(self, seen: float) -> float:
        """Return the best NDCG until so many targets were seen, 0 before the first evaluation."""
        until = [one.ndcg or 0.0 for one in self.evaluations if one.step * self.batch_size <= seen]
        return max(until, default=0.0)

    def seen_at_best(self) -> int:
        """Return the number of targets seen at the best evaluation."""
        best = max(self.evaluations, key=lambda one: one.ndcg or 0.0, default=None)
        return 0 if best is None else best.step * self.batch_size


def falls_behind(runner: Lap, leader: Lap | None) -> bool:
    """Return whether the running fit is far behind the best one so far."""
    if leader is None or runner.seen < FIRST_SHARE * leader.seen_at_best():
        return False
    return runner.best(runner.seen) < (1 - MARGIN) * leader.best(runner.seen)
