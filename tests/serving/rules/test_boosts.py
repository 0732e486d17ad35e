"""Boosts multiply odds."""

from math import log

import pytest

from serving.rules import boosts
from serving.rules.criteria import Criteria
from serving.rules.rule_set import Boost, RuleSet
from tests.serving.rules.shelf import item


def test_factors_of_all_boosts_that_match_multiply() -> None:
    rules = RuleSet(
        boost=(
            Boost(items=Criteria(brands=("Own",)), factor=2.0),
            Boost(items=Criteria(price_max=3.0), factor=3.0),
            Boost(items=Criteria(categories=("Old",)), factor=0.25),
        )
    )
    items = [item(1, brand="Own", price=1.0), item(2, "Old", brand="Own", price=9.0), item(3, "New")]
    assert boosts.changes(items, rules) == pytest.approx([log(6), log(0.5), 0.0])
    assert boosts.changes(items, RuleSet()) == [0, 0, 0]
