"""Context: what the rules know of one request, as plain data.

Arrives: the request, and what Redis keeps of its shopper. Leaves: a `RuleContext`. Next: `serving.rules.select`.

A field whose rule the slot does not use may stay empty, so that nobody reads it from Redis for nothing: `needs` says
which ones a rule set uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphstore.arrays import Float32Array
from graphstore.catalogue import Item
from serving.rules.criteria import Criteria
from serving.rules.rule_set import RuleSet

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class RuleContext:
    """What the rules know of one request. All times are epoch ms."""

    now: int
    criteria: tuple[Criteria, ...] = ()
    """The request's own criteria. All must match."""
    cart: frozenset[str] = frozenset()
    """Item ids in the cart."""
    bought: Mapping[str, int] = field(default_factory=dict)
    """Time of the shopper's last purchase by item id."""
    shown: Mapping[str, int] = field(default_factory=dict)
    """How often the shopper was shown an item since they last clicked it, by item id."""
    repurchase: Mapping[str, float] = field(default_factory=dict)
    """Learned days between two purchases of one item, by category."""
    session: tuple[Item, ...] = ()
    """Items that the session touched and the scores do not know yet. Empty when the ranker has counted them."""
    pinned: tuple[Item, ...] = ()
    """The items of the rules' pins (`serving.rules.pins.wanted`). One that is a candidate, too, is listed once."""
    vectors: Mapping[int, Float32Array] | None = None
    """The model's vector [dim] by item key, for diversity."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Which fields of the context a rule set uses."""

    bought: bool
    shown: bool
    repurchase: bool
    vectors: bool


def needs(rules: RuleSet) -> Needs:
    """Return which fields of the context these rules use. `repurchase` needs `bought`."""
    return Needs(
        bought=rules.repurchase or rules.bought_within_days is not None,
        shown=rules.fatigue_after is not None,
        repurchase=rules.repurchase,
        vectors=rules.diversity > 0,
    )
