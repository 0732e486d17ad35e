"""When an item is due again."""

from math import log

import pytest

from serving.rules.context import RuleContext
from serving.rules.repurchase import days_of, due_items, is_due
from serving.rules.rule_set import RuleSet
from tests.serving.rules.shelf import NOW, days_ago, item

LEARNED = {"Food": 30.0, "Milk": 7.0}


def test_the_narrowest_category_that_is_known_decides() -> None:
    context = RuleContext(now=NOW, repurchase=LEARNED)
    assert days_of(item(1, "Food", "Milk"), RuleSet(), context) == 7.0
    assert days_of(item(1, "Food", "Bread"), RuleSet(), context) == 30.0
    assert days_of(item(1, "Garden"), RuleSet(), context) is None


def test_the_slot_overrides_what_was_learned() -> None:
    context = RuleContext(now=NOW, repurchase=LEARNED)
    assert days_of(item(1, "Food", "Milk"), RuleSet(repurchase_days={"Food": 2}), context) == 2.0
    at_once = RuleSet(repurchase_days={"Milk": 0})
    assert is_due(item(1, "Food", "Milk"), NOW, at_once, context)


@pytest.mark.parametrize(("days", "due"), [(6.99, False), (7.0, True), (8.0, True)])
def test_an_item_is_due_when_the_days_are_over(days: float, due: bool) -> None:
    assert is_due(item(1, "Milk"), days_ago(days), RuleSet(), RuleContext(now=NOW, repurchase=LEARNED)) is due


def test_what_is_used_up_fast_and_was_bought_lately_comes_first() -> None:
    milk, cheese, bulb, hose = item(1, "Milk"), item(2, "Food"), item(3, "Light"), item(4, "Garden")
    context = RuleContext(
        now=NOW,
        repurchase=LEARNED,
        bought={"i1": days_ago(15), "i2": days_ago(40), "i3": days_ago(3), "i4": days_ago(1)},
    )
    found = due_items([hose, bulb, item(9, "Milk"), cheese, milk], RuleSet(), context)
    assert [one.item_id for one, _ in found] == ["i1", "i4", "i2", "i3"]
    scores = [-log(16 * 8), -log(2 * 366), -log(41 * 31), -log(4 * 366)]
    assert [score for _, score in found] == pytest.approx(scores)


def test_without_the_rule_every_bought_item_comes() -> None:
    context = RuleContext(now=NOW, repurchase=LEARNED, bought={"i1": days_ago(1)})
    assert due_items([item(1, "Milk")], RuleSet(), context) == []
    [(one, score)] = due_items([item(1, "Milk")], RuleSet(repurchase=False), context)
    assert (one.item_id, score) == ("i1", pytest.approx(-log(2 * 8)))


def test_a_purchase_in_the_future_of_this_clock_is_one_of_now() -> None:
    context = RuleContext(now=NOW, bought={"i1": NOW + 5})
    assert due_items([item(1)], RuleSet(), context) == [(item(1), -log(366))]
