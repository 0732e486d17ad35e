"""Which pins hold, and where."""

from serving.rules.candidate import PIN
from serving.rules.context import RuleContext
from serving.rules.pins import pinned, wanted
from serving.rules.rule_set import Pin, RuleSet
from tests.serving.rules.shelf import NOW, PLAIN, candidate, item, ranked

RULES = RuleSet(pin=(Pin(item_id="i2", position=4), Pin(item_id="i9", position=0), Pin(item_id="i5", position=20)))


def test_the_items_of_the_positions_of_a_list_are_wanted() -> None:
    assert wanted(RULES, 10) == ["i2", "i9"]
    assert wanted(RULES, 4) == ["i9"]


def test_a_pin_is_a_candidate_or_an_item_of_the_context() -> None:
    context = RuleContext(now=NOW, pinned=(item(9), item(2), item(5)))
    found = pinned(ranked(item(1), item(2)), RULES, context, 10)
    assert list(found) == [0, 4]
    assert (found[0].item.item_id, found[0].source, found[0].score) == ("i9", PIN, 0.0)
    assert (found[4].item.item_id, found[4].source, found[4].score) == ("i2", "batch", 1.0)


def test_a_new_item_of_exploration_lends_a_pin_neither_source_nor_score() -> None:
    new = [candidate(item(9), 0.0, "new")]
    assert pinned(new, RULES, PLAIN, 10) == {}
    assert pinned(new, RULES, RuleContext(now=NOW, pinned=(item(9),)), 10)[0].source == PIN


def test_a_pin_without_stock_or_item_does_not_hold() -> None:
    assert pinned([], RULES, RuleContext(now=NOW, pinned=(item(9, available=False),)), 10) == {}


def test_the_later_variant_of_one_product_does_not_hold() -> None:
    both = RuleContext(now=NOW, pinned=(item(2, product_id="p"), item(9, product_id="p")))
    assert list(pinned([], RULES, both, 10)) == [0]
    assert list(pinned([], RuleSet(pin=RULES.pin, per_product=2), both, 10)) == [0, 4]
