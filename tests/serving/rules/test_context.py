"""Which parts of the context a rule set uses."""

from serving.rules.context import Needs, needs
from serving.rules.rule_set import RuleSet


def test_only_what_a_rule_uses_is_needed() -> None:
    assert needs(RuleSet(repurchase=False)) == Needs(bought=False, shown=False, repurchase=False, vectors=False)
    assert needs(RuleSet()) == Needs(bought=True, shown=False, repurchase=True, vectors=False)
    every = RuleSet(repurchase=False, bought_within_days=1, fatigue_after=2, diversity=0.1)
    assert needs(every) == Needs(bought=True, shown=True, repurchase=False, vectors=True)
