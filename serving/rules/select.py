"""Select: applies all rules of a slot to candidates, and fills the positions of the list.

Arrives: candidates, the slot's rules, the request's context. Leaves: `Chosen` values, one for each position.
Next: `serving.recommend` shows them, `serving.web.impressions` logs their propensities.

The order of the rules: filters, fatigue, boosts, session lift, then position after position the caps, diversity,
quotas, exploration and pins. Where no rule says what may stand together, the list is the order of the scores, or one
draw of `serving.exploration`: the usual list costs little more than its filters.
"""

from collections.abc import Sequence

from serving.exploration import NEW, draw, explores
from serving.routing import Exploration
from serving.rules import filters, pins, scoring
from serving.rules.candidate import Candidate, Chosen
from serving.rules.context import RuleContext
from serving.rules.positions import Positions
from serving.rules.rule_set import RuleSet

NO_EXPLORATION = Exploration()


def select(
    candidates: Sequence[Candidate],
    rules: RuleSet,
    context: RuleContext,
    *,
    k: int,
    exploration: Exploration = NO_EXPLORATION,
    seed: int = 0,
) -> list[Chosen]:
    """Return the `k` items of the list, or fewer when fewer candidates may be shown.

    Args:
        candidates: The items, in any order; equal scores keep the order given. Of an item that comes twice, the first
            one of the lowest tier counts. Those of the source `new` are shown only where `exploration.new_items` draws
            them.
        rules: The rules of the slot.
        context: The request and its shopper.
        k: The length of the list.
        exploration: How the slot deviates from the best order.
        seed: Decides what exploration draws.
    """
    fixed = pins.pinned(candidates, rules, context, k) if rules.pin else {}
    passes = filters.passes(rules, context)
    kept = [one for one in candidates if one.source != NEW and passes(one.item)]
    there = {one.item.item_key for one in fixed.values()}
    listed = [one for one in scoring.scored(kept, rules, context) if _comes_first(one.candidate, there)]
    new: list[Candidate] = []
    if exploration.new_items > 0:
        fresh = [one for one in candidates if one.source == NEW and passes(one.item)]
        # The newest first, as Redis gives them: a draw does not depend on the order of the candidates.
        fresh.sort(key=lambda one: -one.item.item_key)
        new = [one for one in fresh if _comes_first(one, there)]
    if fixed or _stand_together(rules):
        return Positions(listed, new, fixed, rules, context).fill(k, exploration, seed)
    if not explores(exploration):
        return _first(listed, rules.per_product, k)
    if _are_alike(listed, new):
        return _drawn(listed, new, exploration, k, seed)
    return Positions(listed, new, fixed, rules, context).fill(k, exploration, seed)


def _comes_first(candidate: Candidate, there: set[int]) -> bool:
    """Return whether the item is not there yet. It is afterwards."""
    key = candidate.item.item_key
    if key in there:
        return False
    there.add(key)
    return True


def _stand_together(rules: RuleSet) -> bool:
    """Return whether a rule says what may stand in one list. Variants of a product are another question."""
    return bool(rules.quota or rules.per_category or rules.per_brand or rules.diversity)


def _are_alike(listed: Sequence[Chosen], new: Sequence[Candidate]) -> bool:
    """Return whether one draw orders all of them: they have one tier, and no two are variants of one product."""
    candidates = [*(one.candidate for one in listed), *new]
    products = [one.item.product_id for one in candidates if one.item.product_id is not None]
    return len({one.candidate.tier for one in listed}) <= 1 and len({*products}) == len(products)


def _first(listed: Sequence[Chosen], per_product: int, k: int) -> list[Chosen]:
    """Return the first `k` items, with at most `per_product` variants of one product."""
    found: list[Chosen] = []
    variants: dict[str, int] = {}
    for one in listed:
        product = one.candidate.item.product_id
        if product is not None:
            if variants.get(product, 0) >= per_product:
                continue
            variants[product] = variants.get(product, 0) + 1
        found.append(one)
        if len(found) == k:
            break
    return found


def _drawn(listed: Sequence[Chosen], new: Sequence[Candidate], how: Exploration, k: int, seed: int) -> list[Chosen]:
    drawn = draw([one.score for one in listed], len(new), how, count=k, seed=seed)
    every = [*listed, *(Chosen(one, one.score, 1.0) for one in new)]
    return [
        Chosen(every[choice].candidate, every[choice].score, propensity, every[choice].rules)
        for choice, propensity in zip(drawn.choices, drawn.propensities, strict=True)
    ]
