"""Each reason for which an item may not be shown."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.rules import filters
from serving.rules.context import RuleContext
from serving.rules.criteria import Criteria
from serving.rules.rule_set import RuleSet
from tests.serving.rules.shelf import NOW, PLAIN, days_ago, item

TEA = item(1, "Drinks", "Tea", brand="Leaf", price=3.0)


def test_an_item_passes_without_rules_while_it_can_be_bought() -> None:
    assert filters.passes(RuleSet(), PLAIN)(TEA)
    assert not filters.passes(RuleSet(), PLAIN)(item(1, available=False))


@pytest.mark.parametrize(
    ("rules", "context", "passed"),
    [
        (RuleSet(only=Criteria(brands=("Leaf",))), PLAIN, True),
        (RuleSet(only=Criteria(brands=("Own",))), PLAIN, False),
        (RuleSet(), RuleContext(now=NOW, criteria=(Criteria(price_max=2.0),)), False),
        (RuleSet(only=Criteria(brands=("Leaf",))), RuleContext(now=NOW, criteria=(Criteria(price_max=2.0),)), False),
        (RuleSet(only=Criteria(without_items=("i1",))), PLAIN, False),
        (RuleSet(), RuleContext(now=NOW, criteria=(Criteria(without_items=("i1",), brands=("Leaf",)),)), False),
        (RuleSet(), RuleContext(now=NOW, cart=frozenset({"i1"})), False),
        (RuleSet(offer_cart=True), RuleContext(now=NOW, cart=frozenset({"i1"})), True),
        (RuleSet(bought_within_days=3), RuleContext(now=NOW, bought={"i1": days_ago(2.9)}), False),
        (RuleSet(bought_within_days=3), RuleContext(now=NOW, bought={"i1": days_ago(3)}), True),
        (RuleSet(), RuleContext(now=NOW, bought={"i1": days_ago(2)}, repurchase={"Tea": 2.5}), False),
        (RuleSet(), RuleContext(now=NOW, bought={"i1": days_ago(3)}, repurchase={"Tea": 2.5}), True),
        (RuleSet(repurchase=False), RuleContext(now=NOW, bought={"i1": days_ago(2)}, repurchase={"Tea": 2.5}), True),
    ],
)
def test_each_filter(rules: RuleSet, context: RuleContext, passed: bool) -> None:
    assert filters.passes(rules, context)(TEA) is passed


def test_a_pinned_item_needs_stock_and_the_request_and_is_not_in_the_cart() -> None:
    rules = RuleSet(only=Criteria(brands=("Own",)), bought_within_days=9)
    bought = RuleContext(now=NOW, bought={"i1": days_ago(1)})
    assert filters.passes_as_pin(rules, bought)(TEA)
    assert not filters.passes_as_pin(rules, bought)(item(1, available=False))
    assert not filters.passes_as_pin(rules, RuleContext(now=NOW, criteria=(Criteria(brands=("Own",)),)))(TEA)
    in_cart = RuleContext(now=NOW, cart=frozenset({"i1"}))
    assert not filters.passes_as_pin(rules, in_cart)(TEA)
    assert filters.passes_as_pin(RuleSet(offer_cart=True), in_cart)(TEA)


@given(st.data())
def test_long_criteria_are_searched_in_sets_with_the_same_answer(data: st.DataObject) -> None:
    names = st.lists(st.sampled_from([f"n{number}" for number in range(12)]), max_size=12).map(tuple)
    fields = ("categories", "brands", "without_categories", "without_brands")
    criteria = Criteria(
        **{field: data.draw(names) for field in fields},
        attributes=data.draw(st.dictionaries(st.sampled_from(["a", "b"]), names.filter(bool), max_size=2)),
    )
    some = item(1, *data.draw(names), brand=data.draw(st.sampled_from(["", "n1", "n11"])))
    some = msgspec.structs.replace(some, attributes={"a": "n2", "b": "n3"})
    assert filters.passes(RuleSet(only=criteria), PLAIN)(some) is criteria.matches(some)


def test_a_long_criteria_costs_no_search_for_each_item() -> None:
    long = tuple(f"n{number}" for number in range(100))
    asked = Criteria(without_brands=long, attributes={"colour": long})
    tests = filters._test((asked,), set())
    assert not tests(msgspec.structs.replace(TEA, attributes={"colour": "red"}))
    quick = filters._quick(asked)
    assert {type(quick.without_brands), type(quick.attributes["colour"])} == {frozenset}
    few = Criteria(without_brands=long[:2])
    assert filters._quick(few) is few
