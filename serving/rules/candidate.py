"""Candidate and Chosen: an item before and after the rules.

Arrives: items with scores, from stored lists, the ranker or counts. Leaves: `Candidate` values for
`serving.rules.select`, which returns `Chosen` values. Next: `serving.recommend` shows them.

Both are structs of msgspec. Rejected: frozen dataclasses, whose creation takes five times as long; a request makes a
hundred candidates.
"""

import msgspec

from graphstore.catalogue import Item

FATIGUE = "fatigue"
BOOST = "boost"
BURY = "bury"
SESSION = "session"
DIVERSITY = "diversity"
QUOTA = "quota"
CAP_RELAXED = "cap relaxed"
PIN = "pin"


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """An item that a list may show, with its score and the source that proposed it.

    The score is a finite logit: adding log 2 doubles the odds of the item. Models give their blend, counts give
    log(1 + n). Candidates of the source `new` are the pool of exploration: no model has put them there.
    """

    item: Item
    score: float
    source: str
    tier: int = 0
    """0: the kind of the slot. 1, 2, …: its fallbacks, shown only where no item of a lower tier may come."""


class Chosen(msgspec.Struct, frozen=True, gc=False):
    """A candidate at its position of the list."""

    candidate: Candidate
    score: float
    """The score after the rules. The candidate keeps its own."""
    propensity: float
    """The probability of this item at this position, given the items before it. 1 where nothing is drawn."""
    rules: tuple[str, ...] = ()
    """The rules that touched the item, in their order: the names above."""
