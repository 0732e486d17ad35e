"""Answers: what the API answers, as values.

A field that the server has and this client does not know is ignored; one that an older server does not have is empty.
So the two need not be of one version. Rejected: to share the server's own dataclasses, which need NumPy and have no
empty fields; `tests/serving/client/test_answers.py` holds both to the same names.
"""

from datetime import datetime
from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all answers."""


class Because(Answer, frozen=True, kw_only=True):
    """An event of the shopper that carried the score: `share` of it, most of this in one `term` of the model."""

    item_id: str
    event_type: str
    title: str = ""
    share: float = 0.0
    term: str = ""


class ItemPath(Answer, frozen=True, kw_only=True):
    """So many shoppers who bought this item bought the explained one, too."""

    item_id: str
    shoppers: int


class Evidence(Answer, frozen=True, kw_only=True):
    """Why an item stands where it stands."""

    terms: dict[str, float] = {}
    because: list[Because] = []
    path: ItemPath | None = None
    rules: list[str] = []
    """The rules of the slot that touched the item."""


class ShownItem(Answer, frozen=True, kw_only=True):
    """An item of a list. `position` counts from 0; `score` is a logit, after the rules."""

    item_id: str
    position: int
    score: float
    title: str = ""
    categories: list[str] = []
    brand: str = ""
    price: float | None = None
    url: str = ""
    image_url: str = ""
    reason: str | None = None
    source: str = ""
    propensity: float = 1.0
    evidence: Evidence | None = None


class Recommendation(Answer, frozen=True, kw_only=True):
    """A list. Events that it leads to carry its `request_id` and the item's `position`."""

    request_id: str
    items: list[ShownItem]
    user_id: str = ""
    """Empty for a session that is not stored."""
    slot: str | None = None
    model_version: str = ""
    variant: str = ""
    source: str = ""
    as_of: datetime | None = None
    degraded: str | None = None
    """What the list lacks, while something that it needs is away."""


class Lists(Answer, frozen=True, kw_only=True):
    """The lists of one page, by the names of their slots."""

    lists: dict[str, Recommendation]


class Category(Answer, frozen=True, kw_only=True):
    """A category, and how many of its items can be bought."""

    category: str
    items: int


class Categories(Answer, frozen=True, kw_only=True):
    """The categories of the shop, the largest first."""

    categories: list[Category]


class RefusedPart(Answer, frozen=True, kw_only=True):
    """One event or item that was refused: its index in what was sent, the field, and the reason."""

    index: int
    field: str
    reason: str


class Taken(Answer, frozen=True, kw_only=True):
    """What became of events or items that were sent: Kafka has the accepted ones, each other one has its reason."""

    accepted: int
    refused: list[RefusedPart] = []
    ignored: int = 0
    """Messages of a tracker that say nothing about an item."""


class SeenCount(Answer, frozen=True, kw_only=True):
    """How many positions were taken as seen."""

    seen: int


class KnownItem(Answer, frozen=True, kw_only=True):
    """An item as readers see it. `available` says whether it can be bought now."""

    item_id: str
    title: str = ""
    categories: list[str] = []
    brand: str = ""
    price: float | None = None
    available: bool = True
    attributes: dict[str, Any] = {}
    url: str = ""
    image_url: str = ""
    stock: int | None = None
    product_id: str | None = None


class RecentItem(Answer, frozen=True, kw_only=True):
    """An item that a shopper touched."""

    item_id: str
    event_time: datetime


class KnownUser(Answer, frozen=True, kw_only=True):
    """What the readers know of a shopper, newest first."""

    user_id: str
    recent: list[RecentItem] = []


class Token(Answer, frozen=True, kw_only=True):
    """The token with which a page speaks for a shopper, and how long it holds."""

    user_id: str
    token: str
    seconds: int


class Errand(Answer, frozen=True, kw_only=True):
    """What became of an erasure or an export: `state` is waiting, running, done or failed."""

    receipt: str
    state: str
    said: str = ""
    asked_at: datetime | None = None
    changed_at: datetime | None = None


class Asked(Answer, frozen=True, kw_only=True):
    """A retrain request that is on its way."""

    status: str
    full: bool = False
    why: str = ""


class Problem(Answer, frozen=True, kw_only=True):
    """The body of an error: a reason, or a reason for each part."""

    detail: str = ""
    field: str = ""
    refused: list[RefusedPart] = []


def plain_json(raw: bytes) -> dict[str, Any]:
    """Return an object without a type of its own: an export, the OpenAPI description. Raises `msgspec` errors."""
    return msgspec.json.decode(raw, type=dict[str, Any])
