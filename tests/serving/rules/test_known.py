"""What is remembered of rules and items is what they say now."""

import msgspec
import pytest
from hypothesis import given

from serving.rules import boosts, known
from serving.rules.candidate import Candidate
from serving.rules.criteria import Criteria
from serving.rules.known import Known
from serving.rules.rule_set import Boost, Quota, RuleSet
from tests.serving.rules.shelf import RULES, candidate, item, shelves

CHEAP = RuleSet(
    only=Criteria(price_max=5.0),
    boost=(Boost(items=Criteria(brands=("Own",)), factor=2.0),),
    quota=(Quota(items=Criteria(categories=("Tea",)), at_least=1),),
)


@given(shelf=shelves(), rules=RULES)
def test_a_fact_is_what_the_rules_say_the_first_time_and_later(shelf: list[Candidate], rules: RuleSet) -> None:
    remembered, items = Known(rules), [one.item for one in shelf]
    for _ in range(2):
        facts = remembered.facts(items)
        assert [fact.offered for fact in facts] == [one.available and rules.only.matches(one) for one in items]
        assert [fact.lift for fact in facts] == boosts.changes(items, rules)
        assert [fact.quotas for fact in facts] == [
            tuple(quota.items.matches(one) for quota in rules.quota) for one in items
        ]
        assert facts == [remembered.of(one) for one in items]


def test_a_changed_item_is_looked_at_again() -> None:
    remembered, tea = Known(CHEAP), item(1, "Tea", brand="Own", price=3.0)
    assert remembered.of(tea).offered
    for changed in ({"price": 9.0}, {"available": False}):
        assert not remembered.of(msgspec.structs.replace(tea, **changed)).offered  # type: ignore[arg-type]
    assert remembered.of(tea).offered


def test_new_items_come_newest_first_and_are_looked_at_again_in_a_new_list() -> None:
    remembered, items = Known(CHEAP), [item(2, price=1.0), item(3, price=2.0), item(4, price=9.0)]
    found = remembered.newest(items)
    assert [(one.item.item_key, one.source) for one in found] == [(3, "new"), (2, "new")]
    assert remembered.newest(items) is found
    assert [one.item.item_key for one in remembered.newest([item(4, price=2.0)])] == [4]


def test_other_rules_are_never_mixed_up() -> None:
    tea = item(1, price=6.0)
    for price in (5.0, 7.0) * known.MAX_RULE_SETS:  # the rules of each turn may have the address of earlier ones
        rules = RuleSet(only=Criteria(price_max=price))
        assert known.known(rules) is known.known(rules)
        assert known.known(rules).of(tea).offered == (price > 6)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_FACTS", 3)
    remembered = Known(CHEAP)
    assert remembered.offered([candidate(item(key, price=1.0), 0.0) for key in range(9)])
    assert 1 <= len(remembered) <= 3
    first = known.known(CHEAP)
    others = [RuleSet() for _ in range(known.MAX_RULE_SETS)]
    assert all(known.known(rules).rules is rules for rules in others)
    assert known.known(CHEAP) is not first
