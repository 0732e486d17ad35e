"""Rule set: all rules of one slot, as `slots.toml` writes them.

Arrives: a table of the file. Leaves: a `RuleSet`. Next: `serving.rules` applies it to candidates.
"""

from collections import Counter
from typing import Annotated

import msgspec

from serving.rules.criteria import NO_CRITERIA, Criteria

Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Showings = Annotated[int, msgspec.Meta(ge=1, le=30)]
"""Fewer than are remembered (`graphstore.redis.shown`)."""
Days = Annotated[int, msgspec.Meta(ge=1, le=3650)]
Factor = Annotated[float, msgspec.Meta(gt=0.0, le=1000.0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all tables in the file: strict, so that a misspelled key is an error."""


class Boost(Table, frozen=True, kw_only=True):
    """Multiplies the odds of matching items by `factor`; below 1 it buries them."""

    items: Criteria
    factor: Factor


class Pin(Table, frozen=True, kw_only=True):
    """Puts an item at a position (from 0) while it can be bought and the request's own criteria allow it."""

    item_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    position: Annotated[int, msgspec.Meta(ge=0, le=999)]


class Quota(Table, frozen=True, kw_only=True):
    """Asks for `at_least` matching items in the list."""

    items: Criteria
    at_least: Count


class RuleSet(Table, frozen=True, kw_only=True):
    """The rules of a slot. The defaults change nothing that a shopper would miss."""

    only: Criteria = NO_CRITERIA
    """Which items the slot may show. A request's own criteria come on top."""
    boost: Annotated[tuple[Boost, ...], msgspec.Meta(max_length=50)] = ()
    pin: Annotated[tuple[Pin, ...], msgspec.Meta(max_length=50)] = ()
    quota: Annotated[tuple[Quota, ...], msgspec.Meta(max_length=10)] = ()
    per_category: Count | None = None
    """At most so many items with one first category."""
    per_brand: Count | None = None
    per_product: Count = 1
    """At most so many variants of one product."""
    diversity: Share = 0.0
    """0: by score alone; 1: each next item as unlike the items before it as can be (maximal marginal relevance)."""
    fatigue_after: Showings | None = None
    """An item that a shopper was shown so often without a click sinks."""
    bought_within_days: Days | None = None
    """Leaves out what the shopper bought in the last days, whatever its category."""
    repurchase: bool = True
    """Leaves out what the shopper has bought until it is time to buy it again, as its category has taught."""
    repurchase_days: Annotated[
        dict[str, Annotated[int, msgspec.Meta(ge=0, le=3650)]], msgspec.Meta(max_length=500)
    ] = {}
    """By category: days after which an item is bought again, instead of what was learned. 0: at once."""
    offer_cart: bool = False
    """Whether items in the cart may be shown."""

    def __post_init__(self) -> None:
        """Raise `ValueError` when two pins have one position or one item."""
        for kind, count in (
            ("position", Counter(pin.position for pin in self.pin)),
            ("item", Counter(pin.item_id for pin in self.pin)),
        ):
            if twice := [value for value, times in count.items() if times > 1]:
                raise ValueError(f"two pins have the {kind} {twice[0]!r}")


NO_RULES = RuleSet()
