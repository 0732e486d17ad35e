"""What a session looks at lifts what it did not look at yet."""

from math import log

import pytest

from serving.rules import session_lift
from serving.rules.context import RuleContext
from tests.serving.rules.shelf import NOW, PLAIN, item

TEAS = [item(key, "Drinks", "Tea") for key in range(1, 12)]


def after(*touched: int) -> RuleContext:
    return RuleContext(now=NOW, session=tuple(TEAS[key - 1] for key in touched))


def test_three_items_of_a_category_lift_its_other_items() -> None:
    other = [TEAS[0], TEAS[10], item(20, "Drinks", "Juice"), item(21, "Garden")]
    # Juice is only in the wide category, of which three items were touched, too.
    assert session_lift.changes(other, after(1, 2, 3)) == pytest.approx([0, log(3), log(3), 0])


def test_two_items_or_one_item_thrice_lift_nothing() -> None:
    assert session_lift.changes(TEAS, after(1, 2)) == [0.0] * 11
    assert session_lift.changes(TEAS, after(1, 1, 1)) == [0.0] * 11
    assert session_lift.changes(TEAS, PLAIN) == [0.0] * 11


def test_the_narrowest_category_decides_and_the_lift_is_bounded() -> None:
    context = RuleContext(now=NOW, session=(*TEAS[:3], item(20, "Drinks", "Juice")))
    assert session_lift.changes([TEAS[5], item(21, "Drinks", "Juice")], context) == pytest.approx([log(3), log(4)])
    assert session_lift.changes([TEAS[10]], after(*range(1, 11))) == pytest.approx([log(session_lift.MOST)])
