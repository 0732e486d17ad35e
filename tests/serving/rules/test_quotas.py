"""What the quotas of a list need."""

import numpy as np

from serving.rules.caps import Caps
from serving.rules.criteria import Criteria
from serving.rules.quotas import Quotas
from serving.rules.rule_set import Quota, RuleSet
from tests.serving.rules.shelf import item

OWN, TEA = Criteria(brands=("Own",)), Criteria(categories=("Tea",))
ITEMS = [
    item(1, "Milk"),
    item(2, "Tea"),
    item(3, "Milk", brand="Own"),
    item(4, "Tea", brand="Own"),
    item(5, brand="Own"),
]
ALL = np.ones(5, dtype=np.bool_)


def quotas(*wanted: tuple[Criteria, int], **rules: int) -> tuple[Quotas, Caps]:
    rule_set = RuleSet(quota=tuple(Quota(items=items, at_least=count) for items, count in wanted), **rules)
    return Quotas(ITEMS, rule_set), Caps(ITEMS, rule_set)


def test_the_best_items_that_match_are_reserved() -> None:
    needed, caps = quotas((OWN, 2))
    assert needed.reserve(ALL, caps, 5) == [2, 3]
    assert needed.reserve(np.array([True, True, False, True, True]), caps, 5) == [3, 4]


def test_one_item_may_serve_two_quotas() -> None:
    needed, caps = quotas((OWN, 2), (TEA, 1))
    assert needed.reserve(ALL, caps, 5) == [2, 3]
    needed, caps = quotas((TEA, 1), (OWN, 2))
    assert needed.reserve(ALL, caps, 5) == [1, 2, 3]


def test_no_more_is_reserved_than_there_is_room_for() -> None:
    needed, caps = quotas((TEA, 2), (OWN, 2))
    assert needed.reserve(ALL, caps, 2) == [1, 3]


def test_an_item_of_the_list_counts() -> None:
    needed, caps = quotas((OWN, 2))
    assert not needed.place(0)
    assert needed.place(3)
    assert needed.reserve(np.array([True, True, True, False, True]), caps, 5) == [2]
    assert needed.place(4)
    assert not needed.place(2)


def test_reserved_items_keep_within_the_caps_and_take_their_room() -> None:
    needed, caps = quotas((OWN, 3), per_category=1)
    caps.take(1)  # a tea
    assert needed.reserve(ALL, caps, 5) == [2, 4]
    assert not caps.fits(0)
