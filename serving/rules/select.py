"""Select: applies all rules of a slot to candidates, and fills the positions of the list.

Arrives: candidates, the slot's rules, the request's context. Leaves: `Chosen` values, one for each position.
Next: `serving.recommend` shows them, `serving.web.impressions` logs their propensities.

The order of the rules: filters, fatigue, boosts, session lift, then position after position the caps, diversity,
quotas, exploration and pins. Where no rule says what may stand together, the list is the order of the scores, or one
draw of `serving.exploration`: the usual list costs little more than its filters.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from serving.exploration import NEW, draw, explores
from serving.routing import Exploration
from serving.rules import filters, pins, scoring
from serving.rules.candidate import Candidate, Chosen
from serving.rules.context import RuleContext
from serving.rules.known import newest_first
from serving.rules.positions import Positions
from serving.rules.rule_set import RuleSet

NO_EXPLORATION = Exploration()

_T = TypeVar("_T")


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
    passes = filters.passes(rules, context)
    listed = passes.kept([one for one in candidates if one.source != NEW])
    new: list[Candidate] = []
    if exploration.new_items > 0:
        # The newest first, as Redis gives them: a draw does not depend on the order of the candidates.
        new = sorted(passes.kept([one for one in candidates if one.source == NEW]), key=newest_first)
    fixed = pins.pinned(candidates, rules, context, k) if rules.pin else {}
    return arrange(Passed(listed, new, fixed), rules, context, k=k, exploration=exploration, seed=seed)


class Passed(NamedTuple):
    """What may be in a list, after the filters."""

    candidates: Sequence[Candidate]
    """In any order."""
    new: Sequence[Candidate]
    """New items, the newest first."""
    fixed: Mapping[int, Candidate]
    """The pins that hold, by position."""


def arrange(
    passed: Passed, rules: RuleSet, context: RuleContext, *, k: int, exploration: Exploration, seed: int
) -> list[Chosen]:
    """Return what `select` does, for who has filtered the candidates already."""
    fixed = passed.fixed
    there = {one.item.item_key for one in fixed.values()}
    scored = scoring.scored(passed.candidates, rules, context)
    listed = _once(scored, [one.candidate.item.item_key for one in scored], there)
    new = _once(passed.new, [one.item.item_key for one in passed.new], there)
    if fixed or _stand_together(rules):
        return Positions(listed, new, fixed, rules, context).fill(k, exploration, seed)
    if not explores(exploration):
        return _first(listed, rules.per_product, k)
    if _are_alike(listed, new):
        return _drawn(listed, new, exploration, k, seed)
    return Positions(listed, new, fixed, rules, context).fill(k, exploration, seed)


def _once(rows: Sequence[_T], keys: Sequence[int], there: set[int]) -> Sequence[_T]:
    """Return the rows whose keys are not there yet, of two with one key the first. All are there afterwards."""
    distinct = set(keys)
    if len(distinct) == len(keys) and there.isdisjoint(distinct):
        there |= distinct
        return rows
    found: list[_T] = []
    for row, key in zip(rows, keys, strict=True):
        if key not in there:
            there.add(key)
            found.append(row)
    return found


def _stand_together(rules: RuleSet) -> bool:
    """Return whether a rule says what may stand in one list. Variants of a product are another question."""
    return bool(rules.quota or rules.per_category or rules.per_brand or rules.diversity)


def _are_alike(listed: Sequence[Chosen], new: Sequence[Candidate]) -> bool:
    """Return whether one draw orders all of them: they have one tier, and no two are variants of one product."""
    if len({one.candidate.tier for one in listed}) > 1:
        return False
    items = [*(one.candidate.item for one in listed), *(one.item for one in new)]
    products = [item.product_id for item in items if item.product_id is not None]
    return len({*products}) == len(products)


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
    found: list[Chosen] = []
    for choice, propensity in zip(drawn.choices, drawn.propensities, strict=True):
        if choice < len(listed):
            one = listed[choice]
            found.append(Chosen(one.candidate, one.score, propensity, one.rules))
        else:
            added = new[choice - len(listed)]
            found.append(Chosen(added, added.score, propensity))
    return found
