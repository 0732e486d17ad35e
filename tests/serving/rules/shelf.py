"""A shelf of items and candidates, and hypothesis's way to fill it."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from graphstore.catalogue import Item
from serving.rules.candidate import Candidate, Chosen
from serving.rules.context import DAY_MS, RuleContext
from serving.rules.criteria import Criteria
from serving.rules.rule_set import Boost, Quota, RuleSet

NOW = 1_800_000_000_000
CATEGORIES = ("Tea", "Milk", "Bread")
BRANDS = ("", "Own", "Leaf")
PLAIN = RuleContext(now=NOW)


def item(key: int, *categories: str, **fields: Any) -> Item:
    return Item(key, f"i{key}", categories=list(categories), **fields)


def candidate(one: Item, score: float, source: str = "batch", tier: int = 0) -> Candidate:
    return Candidate(one, score, source, tier)


def ranked(*items: Item) -> list[Candidate]:
    """The items as candidates, best first: the last one has the score 1."""
    return [candidate(one, float(len(items) - place)) for place, one in enumerate(items)]


def ids(chosen: list[Chosen]) -> list[str]:
    return [one.candidate.item.item_id for one in chosen]


def days_ago(days: float) -> int:
    return NOW - int(days * DAY_MS)


@st.composite
def shelves(draw: st.DrawFn, largest: int = 14) -> list[Candidate]:
    """Candidates with distinct scores, in any order; some cannot be bought, some are variants of one product."""
    count = draw(st.integers(0, largest))
    scores = draw(st.permutations([float(2 * number) / 3 for number in range(count)]))
    return [
        candidate(
            item(
                key,
                *draw(st.sampled_from([(), ("Tea",), ("Milk",), ("Bread", "Rye"), ("Tea", "Green")])),
                brand=draw(st.sampled_from(BRANDS)),
                price=draw(st.sampled_from([None, 1.0, 5.0, 9.0])),
                available=draw(st.sampled_from([True, True, True, False])),
                product_id=draw(st.sampled_from([None, None, None, "p1", "p2"])),
            ),
            score,
            tier=draw(st.sampled_from([0, 0, 1])),
        )
        for key, score in enumerate(scores)
    ]


SOME = st.sampled_from(
    [Criteria(brands=("Own",)), Criteria(categories=("Tea",)), Criteria(price_max=5.0), Criteria(categories=("Rye",))]
)
CAPS = st.one_of(st.none(), st.integers(1, 3))
RULES = st.builds(
    RuleSet,
    only=st.one_of(st.just(Criteria()), SOME),
    boost=st.lists(st.builds(Boost, items=SOME, factor=st.sampled_from([0.25, 1.0, 4.0])), max_size=2).map(tuple),
    quota=st.lists(st.builds(Quota, items=SOME, at_least=st.integers(1, 4)), max_size=2).map(tuple),
    per_category=CAPS,
    per_brand=CAPS,
    per_product=st.integers(1, 2),
    diversity=st.sampled_from([0.0, 0.3, 1.0]),
    fatigue_after=st.one_of(st.none(), st.integers(1, 3)),
)


@st.composite
def contexts(draw: st.DrawFn) -> RuleContext:
    keys = [f"i{key}" for key in range(14)]
    vectors = None
    if draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 9)))
        vectors = {key: rng.normal(size=4).astype(np.float32) for key in range(0, 14, draw(st.integers(1, 2)))}
    return RuleContext(
        now=NOW,
        criteria=draw(st.sampled_from([(), (), (Criteria(without_items=("i1", "i2")),)])),
        cart=frozenset(draw(st.lists(st.sampled_from(keys), max_size=2))),
        shown=draw(st.dictionaries(st.sampled_from(keys), st.integers(0, 5), max_size=5)),
        session=tuple(item(key, "Tea") for key in range(draw(st.sampled_from([0, 0, 3])))),
        vectors=vectors,
    )
