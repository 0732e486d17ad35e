"""Slot: a place of the shop where lists are shown, and what it shows there.

Arrives: a table of `slots.toml`, or a default. Leaves: a `Slot`. Next: `serving.recommend` fills it.
"""

import enum
from typing import Annotated

import msgspec

from serving.rules.rule_set import NO_RULES, RuleSet, Table

MAX_LENGTH = 100


class Kind(enum.StrEnum):
    """Where the items of a slot come from."""

    FOR_YOU = "for_you"
    """The model's list for the shopper."""
    BUY_AGAIN = "buy_again"
    """What the shopper has bought and is due again."""
    DISCOVER = "discover"
    """The model's list without anything that the shopper knows."""
    SIMILAR = "similar"
    """Items like the given ones, which may stand in for them."""
    BOUGHT_TOGETHER = "bought_together"
    """What others bought in one order with the given items."""
    TRENDING = "trending"
    """What rises: more events now than its own past lets expect."""
    BEST_SELLERS = "best_sellers"
    """What sold most."""
    RECENTLY_VIEWED = "recently_viewed"
    """What the shopper has looked at, newest first."""
    CATEGORY = "category"
    """The model's order of one category."""


WITH_CATEGORY = (Kind.CATEGORY, Kind.TRENDING, Kind.BEST_SELLERS)
"""Kinds whose lists may be about one category."""
ABOUT_ITEMS = (Kind.SIMILAR, Kind.BOUGHT_TOGETHER)
"""Kinds whose lists are about given items."""
NEED_MODEL = (Kind.FOR_YOU, Kind.DISCOVER, Kind.SIMILAR, Kind.CATEGORY)
"""Kinds that nothing answers before a model is published."""


class Slot(Table, frozen=True, kw_only=True):
    """One place of the shop."""

    kind: Kind = Kind.FOR_YOU
    length: Annotated[int, msgspec.Meta(ge=1, le=MAX_LENGTH)] = 20
    """Items in a list, when the request does not say how many."""
    title: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """The heading that a page may show."""
    category: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    """The category of `category`, `trending` and `best_sellers`. Empty: the request names it, or all."""
    window: Annotated[str, msgspec.Meta(pattern="^(1h|24h|7d)$")] = "24h"
    """How far back `trending` and `best_sellers` count."""
    fallback: Annotated[tuple[Kind, ...], msgspec.Meta(max_length=4)] = (Kind.BEST_SELLERS,)
    """What fills the list up, in this order, when its kind gives too few items."""
    rules: RuleSet = NO_RULES
