"""Defaults: the slots that a shop has without any `slots.toml`.

Arrives: nothing. Leaves: `DEFAULT_SLOTS`. Next: `serving.slots.slot_book` puts the slots of the file over them.

The first five are places of a shop and show the shopper's list, as they did before there was a file. The others have
the name of their kind. Their rules are mild, because a default may not hide what a shopper came for: `for_you` and
`discover` mix a little, and let an item sink that was shown five times without a click.
"""

from serving.rules.rule_set import RuleSet
from serving.slots.slot import Kind, Slot

_BROAD = RuleSet(diversity=0.1, fatigue_after=5)
"""For places that a shopper sees again and again."""
_WHOLE_HISTORY = RuleSet(repurchase=False)
"""For lists of what the shopper knows: what was bought yesterday belongs to them."""

PLAIN = Slot(rules=_WHOLE_HISTORY)
"""What is shown where no slot is named: the shopper's stored list as it is."""

DEFAULT_SLOTS: dict[str, Slot] = {
    "home": Slot(title="Recommended for you"),
    "item": Slot(title="You may also like"),
    "cart": Slot(title="Before you go"),
    "search": Slot(title="For you"),
    "email": Slot(title="Picked for you"),
    "for_you": Slot(title="Recommended for you", rules=_BROAD),
    "buy_again": Slot(kind=Kind.BUY_AGAIN, length=12, title="Buy again", fallback=(Kind.FOR_YOU, Kind.BEST_SELLERS)),
    "discover": Slot(
        kind=Kind.DISCOVER, length=12, title="New to you", fallback=(Kind.TRENDING, Kind.BEST_SELLERS), rules=_BROAD
    ),
    "similar": Slot(kind=Kind.SIMILAR, length=12, title="Similar items", fallback=(Kind.CATEGORY, Kind.BEST_SELLERS)),
    "bought_together": Slot(
        kind=Kind.BOUGHT_TOGETHER, length=8, title="Bought together", fallback=(Kind.SIMILAR, Kind.BEST_SELLERS)
    ),
    "trending": Slot(kind=Kind.TRENDING, length=12, title="Trending now", fallback=(Kind.BEST_SELLERS,)),
    "best_sellers": Slot(kind=Kind.BEST_SELLERS, length=12, title="Best sellers", window="7d", fallback=()),
    "recently_viewed": Slot(
        kind=Kind.RECENTLY_VIEWED, length=12, title="Recently viewed", fallback=(), rules=_WHOLE_HISTORY
    ),
    "category": Slot(kind=Kind.CATEGORY, title="", fallback=(Kind.BEST_SELLERS,)),
}
"""By name."""
