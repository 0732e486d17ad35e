"""Laws of a list under rules, whatever the rules, the shelf and the shopper."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.exploration import draw
from serving.routing import Exploration
from serving.rules import filters
from serving.rules.candidate import CAP_RELAXED, PIN, Candidate, Chosen
from serving.rules.context import RuleContext
from serving.rules.criteria import Criteria
from serving.rules.rule_set import Boost, Pin, Quota, RuleSet
from serving.rules.select import select
from tests.serving.rules.shelf import CAPS, NOW, PLAIN, RULES, SOME, candidate, contexts, ids, item, ranked, shelves

K = st.integers(1, 16)
SETTINGS = st.sampled_from([Exploration(), Exploration(temperature=1.0), Exploration(0.5, 0.3), Exploration(0.0, 0.5)])
NEW = [candidate(item(key, "Tea", brand="Own"), 0.0, "new") for key in (100, 101)]
LONG = 99


def passing(shelf: list[Candidate], rules: RuleSet, context: RuleContext) -> list[Candidate]:
    passes = filters.passes(rules, context)
    return [one for one in shelf if passes(one.item)]


def room(candidates: list[Candidate], per_product: int) -> int:
    """Return how many of the candidates can stand in one list, however long."""
    products = Counter(one.item.product_id for one in candidates)
    return products.pop(None, 0) + sum(min(count, per_product) for count in products.values())


def rank(chosen: list[Chosen], item_id: str) -> int:
    return ids(chosen).index(item_id)


@given(shelf=shelves(), rules=RULES, context=contexts(), k=K, how=SETTINGS, seed=st.integers(0, 99))
def test_a_list_is_full_and_holds_what_it_may_hold_once(
    shelf: list[Candidate], rules: RuleSet, context: RuleContext, k: int, how: Exploration, seed: int
) -> None:
    chosen = select([*shelf, *NEW], rules, context, k=k, exploration=how, seed=seed)
    may = passing([*shelf, *NEW] if how.new_items else shelf, rules, context)
    assert len(chosen) == min(k, room(may, rules.per_product))
    assert len(set(ids(chosen))) == len(chosen)
    assert set(ids(chosen)) <= {one.item.item_id for one in may}
    assert all(0 < one.propensity <= 1 for one in chosen)
    products = Counter(one.candidate.item.product_id for one in chosen)
    assert all(count <= rules.per_product for product, count in products.items() if product is not None)


@given(shelf=shelves(), rules=RULES, context=contexts(), k=K)
def test_caps_hold_except_where_the_list_says_so(
    shelf: list[Candidate], rules: RuleSet, context: RuleContext, k: int
) -> None:
    chosen = select(shelf, rules, context, k=k)
    within = [one.candidate.item for one in chosen if CAP_RELAXED not in one.rules]
    categories = Counter(one.categories[0] for one in within if one.categories)
    brands = Counter(one.brand for one in within if one.brand)
    assert max(categories.values(), default=0) <= (rules.per_category or LONG)
    assert max(brands.values(), default=0) <= (rules.per_brand or LONG)


@given(shelf=shelves(), at_least=st.integers(1, 4), of=SOME, k=K, per_category=CAPS)
def test_a_quota_is_met_as_far_as_it_can_be(
    shelf: list[Candidate], at_least: int, of: Criteria, k: int, per_category: int | None
) -> None:
    rules = RuleSet(quota=(Quota(items=of, at_least=at_least),), per_product=LONG, per_category=per_category)
    chosen = select(shelf, rules, PLAIN, k=k)
    matching = [one.item for one in shelf if one.item.available and of.matches(one.item)]
    groups = Counter(one.categories[0] if one.categories else None for one in matching)
    most = groups.pop(None, 0) + sum(min(count, per_category or LONG) for count in groups.values())
    assert sum(of.matches(one.candidate.item) for one in chosen) >= min(at_least, k, most)


@given(shelf=shelves(), rules=RULES, position=st.integers(0, 9), key=st.integers(0, 20), k=K, how=SETTINGS)
def test_a_pin_stands_at_its_position_or_at_the_end_of_a_shorter_list(
    shelf: list[Candidate], rules: RuleSet, position: int, key: int, k: int, how: Exploration
) -> None:
    pinned = item(key, "Tea", brand="Own")
    shelf = [one for one in shelf if one.item.item_key != key]
    rules = msgspec.structs.replace(rules, pin=(Pin(item_id=pinned.item_id, position=position),))
    chosen = select(shelf, rules, RuleContext(now=NOW, pinned=(pinned,)), k=k, exploration=how)
    if position >= k:
        assert pinned.item_id not in ids(chosen)
        return
    assert rank(chosen, pinned.item_id) == min(position, len(chosen) - 1)
    [pin] = [one for one in chosen if PIN in one.rules]
    assert (pin.propensity, pin.candidate.item) == (1.0, pinned)
    assert len(chosen) == min(k, 1 + room(passing(shelf, rules, PLAIN), rules.per_product))


@given(shelf=shelves().filter(bool), factor=st.sampled_from([1.5, 4.0, 100.0]), data=st.data())
def test_a_boost_never_lowers_a_rank_and_a_burial_never_raises_it(
    shelf: list[Candidate], factor: float, data: st.DataObject
) -> None:
    mine = data.draw(st.sampled_from(shelf)).item.item_key
    shelf = [
        msgspec.structs.replace(one, item=item(one.item.item_key, brand="Mine" if one.item.item_key == mine else ""))
        for one in shelf
    ]
    buried, same, boosted = (
        rank(
            select(
                shelf,
                RuleSet(boost=(Boost(items=Criteria(brands=("Mine",)), factor=by),)),
                PLAIN,
                k=LONG,
            ),
            f"i{mine}",
        )
        for by in (1 / factor, 1.0, factor)
    )
    assert buried >= same >= boosted


@given(shelf=shelves(), context=contexts(), k=K)
def test_without_diversity_the_order_is_that_of_the_scores(
    shelf: list[Candidate], context: RuleContext, k: int
) -> None:
    chosen = select(shelf, RuleSet(per_category=2, per_product=LONG), context, k=k)
    order = [(one.candidate.tier, -one.score) for one in chosen if CAP_RELAXED not in one.rules]
    assert [one for one in order if one[0] == 0] == sorted(one for one in order if one[0] == 0)
    plain = select(shelf, RuleSet(per_product=LONG), context, k=k)
    assert [(one.candidate.tier, -one.score) for one in plain] == sorted(
        (one.candidate.tier, -one.score) for one in plain
    )


@given(shelf=shelves().filter(bool), more=st.integers(1, 9), after=st.integers(1, 3), data=st.data())
def test_more_showings_never_raise_the_rank(shelf: list[Candidate], more: int, after: int, data: st.DataObject) -> None:
    shelf = [msgspec.structs.replace(one, item=item(one.item.item_key)) for one in shelf]
    name = data.draw(st.sampled_from(shelf)).item.item_id
    ranks = [
        rank(select(shelf, RuleSet(fatigue_after=after), RuleContext(now=NOW, shown={name: count}), k=LONG), name)
        for count in range(more)
    ]
    assert ranks == sorted(ranks)


@given(shelf=shelves(), rules=RULES, context=contexts(), how=SETTINGS, data=st.data())
def test_the_order_of_the_candidates_does_not_matter(
    shelf: list[Candidate], rules: RuleSet, context: RuleContext, how: Exploration, data: st.DataObject
) -> None:
    candidates = [*shelf, *NEW]
    other = data.draw(st.permutations(candidates))
    assert select(other, rules, context, k=8, exploration=how, seed=4) == select(
        candidates, rules, context, k=8, exploration=how, seed=4
    )


@given(shelf=shelves(), how=SETTINGS, k=K, seed=st.integers(0, 2**64 - 1))
def test_without_rules_a_list_is_one_draw_of_exploration(
    shelf: list[Candidate], how: Exploration, k: int, seed: int
) -> None:
    shelf = sorted(shelf, key=lambda one: -one.score)
    shelf = [candidate(item(one.item.item_key), one.score) for one in shelf]
    newest = sorted(NEW, key=lambda one: -one.item.item_key)
    drawn = draw([one.score for one in shelf], len(newest) if how.new_items else 0, how, count=k, seed=seed)
    chosen = select([*shelf, *newest], RuleSet(), PLAIN, k=k, exploration=how, seed=seed)
    assert [one.candidate for one in chosen] == [[*shelf, *newest][choice] for choice in drawn.choices]
    assert [one.propensity for one in chosen] == drawn.propensities


def test_the_draw_with_variants_sums_to_one_over_the_first_items() -> None:
    variants = [candidate(item(key, product_id="p" if key < 3 else None), 0.3 * key) for key in range(5)]
    first = {}
    for seed in range(300):
        chosen = select(variants, RuleSet(), PLAIN, k=2, exploration=Exploration(temperature=1.0), seed=seed)
        first[ids(chosen)[0]] = chosen[0].propensity
        assert sum(one.candidate.item.product_id == "p" for one in chosen) <= 1
    assert sum(first.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("per_product", "names"), [(1, ["i0", "i2", "i4"]), (2, ["i0", "i1", "i2", "i4"])])
@pytest.mark.parametrize("other", [RuleSet(), RuleSet(per_brand=9)])
def test_a_list_has_so_many_variants_of_one_product(per_product: int, names: list[str], other: RuleSet) -> None:
    shelf = ranked(*(item(key, product_id="p" if key in {0, 1, 3} else None) for key in range(5)))
    rules = msgspec.structs.replace(other, per_product=per_product)
    assert ids(select(shelf, rules, PLAIN, k=5)) == names


def test_an_item_that_comes_twice_is_that_of_the_lowest_tier() -> None:
    twice = [candidate(item(1), 9.0, "best_sellers", 1), candidate(item(2), 1.0), candidate(item(1), 0.0, "batch")]
    chosen = select(twice, RuleSet(), PLAIN, k=9)
    assert [(one.candidate.item.item_id, one.candidate.source) for one in chosen] == [("i2", "batch"), ("i1", "batch")]


def test_a_list_of_a_shop_that_is_nearly_sold_out_has_what_is_left() -> None:
    shelf = ranked(*(item(key, available=key % 20 == 0) for key in range(100)))
    assert ids(select(shelf, RuleSet(), PLAIN, k=20)) == ["i0", "i20", "i40", "i60", "i80"]
