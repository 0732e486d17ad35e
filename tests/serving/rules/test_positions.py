"""What may stand together, position after position, and with which probability."""

from math import exp, prod

import numpy as np
import pytest

from serving.routing import Exploration
from serving.rules.candidate import CAP_RELAXED, DIVERSITY, PIN, QUOTA, Candidate, Chosen
from serving.rules.context import RuleContext
from serving.rules.criteria import Criteria
from serving.rules.positions import Positions
from serving.rules.rule_set import Quota, RuleSet
from serving.rules.scoring import scored
from tests.serving.rules.shelf import NOW, PLAIN, candidate, ids, item, ranked

OWN = Criteria(brands=("Own",))


def fill(
    candidates: list[Candidate],
    rules: RuleSet,
    k: int,
    *,
    pins: dict[int, Candidate] | None = None,
    new: tuple[Candidate, ...] = (),
    drawn: tuple[Exploration, int] = (Exploration(), 0),
    context: RuleContext = PLAIN,
) -> list[Chosen]:
    return Positions(scored(candidates, rules, context), new, pins or {}, rules, context).fill(k, *drawn)


def test_a_capped_category_makes_room_for_the_next_one() -> None:
    shelf = ranked(item(1, "Tea"), item(2, "Tea"), item(3, "Milk"), item(4, "Tea"))
    assert ids(fill(shelf, RuleSet(per_category=1), 2)) == ["i1", "i3"]


def test_caps_give_way_as_little_as_possible_and_say_so() -> None:
    shelf = ranked(*(item(key, "Tea") for key in range(1, 6)), item(6, "Milk"), item(7, "Milk"))
    chosen = fill(shelf, RuleSet(per_category=1), 5)
    assert ids(chosen) == ["i1", "i6", "i2", "i7", "i3"]
    assert [one.rules for one in chosen] == [(), (), (CAP_RELAXED,), (CAP_RELAXED,), (CAP_RELAXED,)]


def test_a_fallback_comes_before_a_cap_gives_way() -> None:
    shelf = [*ranked(item(1, "Tea"), item(2, "Tea")), candidate(item(3, "Milk"), 50.0, tier=1)]
    assert ids(fill(shelf, RuleSet(per_category=1), 3)) == ["i1", "i3", "i2"]


def test_variants_of_one_product_never_come_twice() -> None:
    shelf = ranked(item(1, product_id="p"), item(2, product_id="p"), item(3, "Tea"))
    assert ids(fill(shelf, RuleSet(per_category=1), 3)) == ["i1", "i3"]


def test_a_quota_waits_until_the_last_positions_and_says_so() -> None:
    shelf = ranked(*(item(key) for key in range(1, 6)), item(6, brand="Own"), item(7, brand="Own"))
    chosen = fill(shelf, RuleSet(quota=(Quota(items=OWN, at_least=2),)), 4)
    assert [(one.candidate.item.item_id, one.rules) for one in chosen] == [
        ("i1", ()),
        ("i2", ()),
        ("i6", (QUOTA,)),
        ("i7", (QUOTA,)),
    ]


def test_a_quota_that_the_scores_fulfil_touches_nothing() -> None:
    shelf = ranked(item(1, brand="Own"), item(2), item(3, brand="Own"), item(4))
    chosen = fill(shelf, RuleSet(quota=(Quota(items=OWN, at_least=1),)), 3)
    assert [(one.candidate.item.item_id, one.rules) for one in chosen] == [("i1", ()), ("i2", ()), ("i3", ())]


def test_no_item_takes_the_room_of_one_that_a_quota_needs() -> None:
    shelf = ranked(item(1, product_id="p"), item(2), item(3, brand="Own", product_id="p"))
    assert ids(fill(shelf, RuleSet(quota=(Quota(items=OWN, at_least=1),)), 2)) == ["i2", "i3"]


def test_a_reserved_item_exceeds_no_cap_by_its_own_room() -> None:
    shelf = ranked(item(1, "Tea", brand="Own"), item(2, "Tea"), item(3, "Milk"))
    chosen = fill(shelf, RuleSet(per_category=1, quota=(Quota(items=OWN, at_least=1),)), 2)
    assert [(one.candidate.item.item_id, one.rules) for one in chosen] == [("i1", ()), ("i3", ())]


def test_an_item_that_serves_a_quota_unasked_sets_the_reserved_one_free() -> None:
    shelf = ranked(item(1, "Bread"), item(2, "Milk"), item(3, "Milk"), item(4, "Milk"))
    axes = np.eye(3, dtype=np.float32)
    vectors = {1: axes[0], 2: axes[0], 3: axes[1], 4: axes[2]}
    milk = Quota(items=Criteria(categories=("Milk",)), at_least=1)
    rules = RuleSet(diversity=0.6, per_category=2, quota=(milk,))
    chosen = fill(shelf, rules, 3, context=RuleContext(now=NOW, vectors=vectors))
    # The second item is like the first one. The third one serves the quota, so nothing forces the second one, and
    # the category has room for the fourth.
    assert [(one.candidate.item.item_id, one.rules) for one in chosen] == [
        ("i1", ()),
        ("i3", (DIVERSITY,)),
        ("i4", (DIVERSITY,)),
    ]


def test_a_quota_without_items_leaves_the_list_full() -> None:
    shelf = ranked(item(1), item(2), item(3))
    assert ids(fill(shelf, RuleSet(quota=(Quota(items=OWN, at_least=2),)), 2)) == ["i1", "i2"]


def test_diversity_shows_an_unlike_item_earlier() -> None:
    shelf = ranked(item(1, "Tea"), item(2, "Tea"), item(3, "Milk"), item(4, "Tea"))
    chosen = fill(shelf, RuleSet(diversity=0.5), 4)
    assert ids(chosen) == ["i1", "i3", "i2", "i4"]
    assert [one.rules for one in chosen] == [(), (DIVERSITY,), (), ()]


def test_pins_stand_at_their_positions_and_count_for_caps_and_quotas() -> None:
    shelf = ranked(item(1, "Tea"), item(2, "Milk"), item(3, "Bread"), item(4, "Bread", brand="Own"))
    rules = RuleSet(per_category=1, quota=(Quota(items=OWN, at_least=1),))
    chosen = fill(shelf, rules, 3, pins={1: candidate(item(9, "Tea", brand="Own"), 0.0, PIN)})
    assert ids(chosen) == ["i2", "i9", "i3"]
    assert (chosen[1].rules, chosen[1].propensity) == ((PIN,), 1.0)


def test_pins_beyond_the_end_of_a_short_list_come_last() -> None:
    pins = {2: candidate(item(8), 0.0, PIN), 5: candidate(item(9), 0.0, PIN)}
    assert ids(fill(ranked(item(1)), RuleSet(), 8, pins=pins)) == ["i1", "i8", "i9"]
    assert ids(fill([], RuleSet(), 8, pins=pins)) == ["i8", "i9"]


TEAS_AND_MILK = ranked(item(1, "Tea"), item(2, "Tea"), item(3, "Milk", brand="Own"), item(4, "Milk"))


def test_the_propensity_is_that_of_the_items_which_may_come() -> None:
    how = Exploration(temperature=2.0)
    for seed in range(30):
        first, second = fill(TEAS_AND_MILK, RuleSet(per_category=1), 2, drawn=(how, seed))
        weights = {f"i{key}": exp((5 - key) / 2) for key in range(1, 5)}
        other = ("i3", "i4") if first.candidate.item.item_id in {"i1", "i2"} else ("i1", "i2")
        name = second.candidate.item.item_id
        assert first.propensity == pytest.approx(weights[first.candidate.item.item_id] / sum(weights.values()))
        assert second.propensity == pytest.approx(weights[name] / sum(weights[one] for one in other))


@pytest.mark.parametrize(
    "rules",
    [
        RuleSet(per_category=1),
        RuleSet(diversity=0.4),
        RuleSet(quota=(Quota(items=OWN, at_least=1),)),
        RuleSet(diversity=0.2, per_category=2, quota=(Quota(items=Criteria(categories=("Milk",)), at_least=1),)),
    ],
)
@pytest.mark.parametrize("how", [Exploration(temperature=3.0), Exploration(3.0, 0.4), Exploration(new_items=0.5)])
def test_the_probabilities_of_all_lists_sum_to_one_and_tell_how_often_they_come(
    rules: RuleSet, how: Exploration
) -> None:
    tries = 1500
    new = (candidate(item(7, "Tea"), 0.0, "new"), candidate(item(6, "Milk"), 0.0, "new"))
    pins = {1: candidate(item(9, "Bread"), 0.0, PIN)}
    counts: dict[tuple[str, ...], int] = {}
    chances: dict[tuple[str, ...], float] = {}
    for seed in range(tries):
        chosen = fill(TEAS_AND_MILK, rules, 3, drawn=(how, seed), new=new if how.new_items else (), pins=pins)
        name = tuple(ids(chosen))
        counts[name] = counts.get(name, 0) + 1
        chance = prod(one.propensity for one in chosen)
        assert chances.setdefault(name, chance) == pytest.approx(chance)
    assert sum(chances.values()) == pytest.approx(1.0, abs=0.01)
    chi_square = sum((counts[name] - tries * chance) ** 2 / (tries * chance) for name, chance in chances.items())
    freedom = len(chances) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5  # four standard deviations


def test_what_a_shopper_was_shown_in_vain_comes_later() -> None:
    context = RuleContext(now=NOW, shown={"i1": 9})
    assert ids(fill(TEAS_AND_MILK, RuleSet(fatigue_after=2, per_category=2), 4, context=context))[-1] == "i1"
