"""Counts of categories, brands and products."""

from serving.rules.caps import Caps
from serving.rules.rule_set import RuleSet
from tests.serving.rules.shelf import item

ITEMS = [
    item(1, "Tea", brand="Own", product_id="p"),
    item(2, "Tea", brand="Leaf", product_id="p"),
    item(3, "Milk", brand="Leaf"),
    item(4),
]


def test_a_product_has_room_for_one_variant() -> None:
    caps = Caps(ITEMS, RuleSet())
    caps.take(0)
    assert caps.open().tolist() == [False, False, True, True]
    assert caps.excess() is None
    caps.give_back(0)
    assert caps.open().all()


def test_the_worst_soft_cap_counts() -> None:
    caps = Caps(ITEMS, RuleSet(per_category=1, per_brand=2, per_product=9))
    assert (caps.excess().tolist(), caps.fits(1)) == ([0, 0, 0, 0], True)  # type: ignore[union-attr]
    for row in (0, 1, 2):
        caps.take(row)
    # Two teas are one too many already, so a third one is the second too many; two of Leaf fill the brand.
    assert caps.excess().tolist() == [2, 2, 1, 0]  # type: ignore[union-attr]
    assert [caps.fits(row) for row in range(4)] == [False, False, False, True]


def test_items_without_a_group_are_never_capped() -> None:
    caps = Caps([item(1), item(2)], RuleSet(per_category=1, per_brand=1))
    for _ in range(5):
        caps.take(0)
    assert caps.fits(1)


def test_an_item_is_within_the_soft_caps_until_its_group_is_full() -> None:
    caps = Caps(ITEMS, RuleSet(per_category=2, per_brand=1))
    caps.take(1)
    assert caps.within().tolist() == [True, False, False, True]  # type: ignore[union-attr]
    caps.take(0)
    assert caps.within().tolist() == [False, False, False, True]  # type: ignore[union-attr]
    caps.give_back(1)
    assert caps.within().tolist() == [False, True, True, True]  # type: ignore[union-attr]
    assert Caps(ITEMS, RuleSet()).within() is None
