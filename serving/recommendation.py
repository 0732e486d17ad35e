"""Recommendation: an answered list, as the API writes it and the impression logs it.

Arrives: chosen items. Leaves: a `Recommendation`. Next: `serving.web` writes it as JSON, `serving.web.impressions`
logs it when it was shown in a slot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from graphstore.catalogue import Item
from serving.evidence import ItemEvidence


class ListedItem(msgspec.Struct, frozen=True, gc=False):
    """An item at its position (from 0) in a list, with the fields that a page shows.

    It is no dataclass, because an answer makes and writes twenty, and msgspec does both in a third of the time. Without
    cycles, the collector need not know them.
    """

    item_id: str
    position: int
    score: float
    """A logit: of the model, log(1 + n) of counts, the log of a similarity. With the slot's rules in it."""
    title: str
    categories: Sequence[str]
    brand: str
    price: float | None
    url: str
    image_url: str
    reason: str | None


class ShownItem(ListedItem, frozen=True, gc=False):
    """An item of a served list, with what the impression logs of it."""

    source: str
    """Where the item comes from: see `Recommendation.source`; `new` for a new item that exploration has added."""
    propensity: float
    """The probability of this item at this position, given the items before it. 1 where the slot does not explore."""
    evidence: ItemEvidence | None
    """Why it stands there, computed; only where it was asked for."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A served list."""

    request_id: str
    user_id: str
    """Empty for a session that nobody stores."""
    slot: str | None
    model_version: str
    """Empty where no model is published, and none is needed."""
    variant: str
    source: str
    """Where the first item comes from: `nearline`, `batch`, `popular` (the model's list for strangers), `online` (the
    ranker), a kind of slot, or `catalogue` (any item that may be shown, newest first)."""
    as_of: datetime
    """The time of its computation."""
    degraded: str | None
    """What the list lacks, when something that it needs is away."""
    items: list[ShownItem]


def listed(found: Sequence[tuple[Item, float]]) -> list[ListedItem]:
    """Return items with their scores as a list without a slot, in their order."""
    return [
        ListedItem(
            item_id=item.item_id,
            position=position,
            score=score,
            title=item.title,
            categories=item.categories,
            brand=item.brand,
            price=item.price,
            url=item.url,
            image_url=item.image_url,
            reason=None,
        )
        for position, (item, score) in enumerate(found)
    ]
