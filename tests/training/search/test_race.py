"""A fit that is far behind stops; one that is near, slow at its beginning, or the first does not."""

import pytest

from training.options import FitEvaluation
from training.search.race import Lap, falls_behind


def lap(batch_size: int, *reached: float | None) -> Lap:
    """A look every ten steps."""
    made = Lap(batch_size)
    for number, ndcg in enumerate(reached, start=1):
        made.evaluations.append(FitEvaluation(10 * number, 1.0, ndcg))
    return made


LEADER = lap(100, 0.05, 0.10, 0.15, 0.20, 0.19)  # its best after 4,000 targets


@pytest.mark.parametrize(
    ("runner", "behind"),
    [
        pytest.param(lap(100, 0.01), False, id="not half as far"),
        pytest.param(lap(100, 0.01, 0.08), True, id="far behind"),
        pytest.param(lap(100, 0.01, 0.091), False, id="near"),
        pytest.param(lap(100, 0.09, 0.02), True, id="its best so far counts, and is behind"),
        pytest.param(lap(100, 0.1, 0.02), False, id="its best so far counts"),
        pytest.param(lap(400, 0.17), True, id="as many targets in fewer steps"),
        pytest.param(lap(400, 0.19), False, id="as many targets in fewer steps, near"),
        pytest.param(lap(100, None, None), True, id="nothing was measured"),
        pytest.param(lap(100), False, id="not begun"),
    ],
)
def test_who_is_far_behind_stops(runner: Lap, behind: bool) -> None:
    assert falls_behind(runner, LEADER) is behind


def test_the_first_has_nobody_before_it() -> None:
    assert not falls_behind(lap(100, 0.0, 0.0), None)
