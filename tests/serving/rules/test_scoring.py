"""Scores after the rules, with the names of what touched them."""

from math import log

import pytest

from serving.rules.context import RuleContext
from serving.rules.criteria import Criteria
from serving.rules.rule_set import Boost, RuleSet
from serving.rules.scoring import scored
from tests.serving.rules.shelf import NOW, PLAIN, candidate, ids, item, ranked

RULES = RuleSet(
    fatigue_after=1,
    boost=(
        Boost(items=Criteria(brands=("Own",)), factor=8.0),
        Boost(items=Criteria(categories=("Old",)), factor=0.5),
    ),
)


def test_each_item_says_what_touched_it_in_the_order_of_the_rules() -> None:
    tea = [item(key, "Tea") for key in range(10, 13)]
    context = RuleContext(now=NOW, shown={"i1": 2}, session=tuple(tea))
    items = [item(1, "Tea", brand="Own"), item(2, "Old"), item(3), item(4, "Old", brand="Own")]
    found = {one.candidate.item.item_id: one for one in scored(ranked(*items), RULES, context)}
    assert {name: one.rules for name, one in found.items()} == {
        "i1": ("fatigue", "boost", "session"),
        "i2": ("bury",),
        "i3": (),
        "i4": ("boost",),
    }
    assert found["i1"].score == pytest.approx(4 + log(8 * 3 / 4))
    assert found["i2"].score == pytest.approx(3 + log(0.5))
    assert found["i1"].candidate.score == 4


def test_the_best_comes_first_within_its_tier_and_equals_keep_their_order() -> None:
    found = scored(
        [candidate(item(1), 9.0, tier=1), candidate(item(2), 1.0), candidate(item(3), 2.0), candidate(item(4), 2.0)],
        RuleSet(),
        PLAIN,
    )
    assert ids(found) == ["i3", "i4", "i2", "i1"]
