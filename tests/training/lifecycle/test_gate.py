"""The gate: what promotes, what keeps, and that chance does not."""

import numpy as np
import pytest

from training.evaluation.ranking import Evaluation
from training.lifecycle.gate import GateRules, decide

RULES = GateRules(min_users=30, confidence=0.9, min_coverage_ratio=0.5)


def evaluation(ndcg, *, coverage=0.5, finite=True) -> Evaluation:
    ndcg = np.asarray(ndcg, dtype=np.float64)
    return Evaluation(
        users=np.arange(len(ndcg)),
        cold=np.zeros(len(ndcg), dtype=bool),
        per_user={"ndcg@20": ndcg},
        coverage=coverage,
        finite=finite,
    )


RNG = np.random.default_rng(0)
CHAMPION = RNG.uniform(size=200)


def test_ahead_of_the_champion_beyond_chance():
    decision = decide(evaluation(CHAMPION + 0.01), evaluation(CHAMPION), rules=RULES, seed=0)
    assert decision.verdict == "promoted"
    assert "+0.0100" in decision.reasons[0]


@pytest.mark.parametrize("gain", [0.0, -0.01])
def test_equal_or_behind_is_kept(gain):
    assert decide(evaluation(CHAMPION + gain), evaluation(CHAMPION), rules=RULES, seed=0).verdict == "kept"


def test_ahead_by_chance_is_kept():
    noise = RNG.normal(size=200)
    noise += 0.02 - noise.mean()  # a quarter of a standard error
    decision = decide(evaluation(CHAMPION + noise), evaluation(CHAMPION), rules=RULES, seed=0)
    assert decision.verdict == "kept"
    assert "90% needed" in decision.reasons[0]


def test_guardrails():
    better = CHAMPION + 0.1
    few = decide(evaluation(better[:29]), evaluation(CHAMPION[:29]), rules=RULES, seed=0)
    narrow = decide(evaluation(better, coverage=0.2), evaluation(CHAMPION, coverage=0.5), rules=RULES, seed=0)
    broken = decide(evaluation(better, finite=False), evaluation(CHAMPION), rules=RULES, seed=0)
    for decision, word in ((few, "29 users"), (narrow, "cover"), (broken, "finite")):
        assert decision.verdict == "kept"
        assert word in decision.reasons[0]
    both = decide(evaluation(better[:9], coverage=0.0), evaluation(CHAMPION[:9]), rules=RULES, seed=0)
    assert len(both.reasons) == 2


def test_the_first_champion_must_not_be_behind_popularity():
    popularity = evaluation(CHAMPION)
    assert decide(evaluation(CHAMPION), None, popularity=popularity, rules=RULES, seed=0).verdict == "promoted"
    assert decide(evaluation(CHAMPION), None, rules=RULES, seed=0).verdict == "promoted"
    behind = decide(evaluation(CHAMPION - 0.05), None, popularity=popularity, rules=RULES, seed=0)
    assert behind.verdict == "kept"
    assert decide(evaluation(CHAMPION, finite=False), None, rules=RULES, seed=0).verdict == "kept"
    few = decide(evaluation(CHAMPION[:5] - 0.05), None, popularity=evaluation(CHAMPION[:5]), rules=RULES, seed=0)
    assert few.verdict == "promoted"


def test_the_users_must_be_the_same():
    with pytest.raises(ValueError, match="same users"):
        decide(evaluation(CHAMPION), evaluation(CHAMPION[:-1]), rules=RULES, seed=0)


def test_an_empty_window_keeps():
    assert decide(evaluation([]), evaluation([]), rules=RULES, seed=0).verdict == "kept"
