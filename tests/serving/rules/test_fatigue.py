"""What was shown in vain sinks."""

from math import log

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphstore.redis import shown
from serving.rules import fatigue
from serving.rules.context import RuleContext
from serving.rules.rule_set import RuleSet
from tests.serving.rules.shelf import NOW, item


def change(shown: int, after: int | None) -> float:
    context = RuleContext(now=NOW, shown={"i1": shown})
    return fatigue.changes([item(1)], RuleSet(fatigue_after=after), context)[0]


def test_each_showing_from_the_limit_on_halves_the_odds() -> None:
    assert [change(shown, 3) for shown in range(6)] == pytest.approx([0, 0, 0, log(1 / 2), log(1 / 4), log(1 / 8)])
    assert change(100, None) == 0.0
    assert fatigue.changes([item(2)], RuleSet(fatigue_after=1), RuleContext(now=NOW, shown={"i1": 9})) == [0.0]


@given(shown=st.integers(0, 500), more=st.integers(1, 500), after=st.integers(1, 1000))
def test_more_showings_never_lift_an_item(shown: int, more: int, after: int) -> None:
    assert change(shown + more, after) <= change(shown, after) <= 0


def test_a_rule_counts_no_further_than_is_remembered() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"fatigue_after": shown.MAX_TIMES}, RuleSet)
