"""Candidate: an item that a list may show, on its way through the rules."""

from dataclasses import dataclass

from graphstore.catalogue import Item


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item with its score and the source that proposed it.

    The score is a logit: adding log 2 doubles the odds of the item. Models give their blend, counts give log(1 + n).
    """

    item: Item
    score: float
    source: str
    rules: tuple[str, ...] = ()
    """The rules that touched it, in their order, for an explanation: `boost`, `fatigue`, `quota`, `pin`."""
