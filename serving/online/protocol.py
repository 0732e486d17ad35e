"""Protocol: what the web process asks the ranker, and what it answers (msgpack over HTTP on loopback).

Arrives: a shopper, or a session that nobody stores, and which items may be shown. Leaves: item keys with scores, best
first. Next: `serving.recommend` applies the rules of the slot to them.
"""

from typing import Annotated

import msgspec

from serving.rules.criteria import Criteria, Ids
from stream.events import MAX_ID_LENGTH, EventType

PATH = "/rank"
READY_PATH = "/readyz"
SOURCE = "online"
"""The source of a list that the ranker has made."""

MAX_SESSION_EVENTS = 200
MAX_CANDIDATES = 1000
MAX_RANKED = 1000
MAX_EVIDENCE = 20

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all messages."""


class SessionEvent(_Message, frozen=True, kw_only=True):
    """An event that the request itself brings. Without a time it has just happened, in the order given."""

    item_id: Id
    event_type: EventType = EventType.VIEW
    event_time: int | None = None
    """Epoch ms."""


class RankRequest(_Message, frozen=True, kw_only=True):
    """Rank the items that match for this shopper."""

    model_version: str | None = None
    """None: the champion."""
    user_id: Id | None = None
    """Their stored events count, too. None: only `session` counts, and nothing is stored."""
    session: Annotated[tuple[SessionEvent, ...], msgspec.Meta(max_length=MAX_SESSION_EVENTS)] = ()
    """Events of the request, the cart among them (as `cart`)."""
    candidates: Ids | None = None
    """Rank only these items, for example search results. None: the whole catalogue."""
    criteria: tuple[Criteria, ...] = ()
    """All of them must match: those of the slot and those of the request."""
    without: Ids = ()
    """Items that are never in the answer."""
    known: bool | None = None
    """False: leave out every item of the history (to discover). True: only these. None: as the model does."""
    k: Annotated[int, msgspec.Meta(ge=1, le=MAX_RANKED)] = 100
    evidence: Annotated[int, msgspec.Meta(ge=0, le=MAX_EVIDENCE)] = 0
    """For so many of the first items, say which events of the shopper carried the score."""


class Carrier(_Message, frozen=True, kw_only=True):
    """An event of the shopper that carried a score. `share` is its part of what the events add to it."""

    item_key: int
    event_type: EventType
    share: float
    term: str
    """The term of the model where the event weighs most."""


class Evidence(_Message, frozen=True, kw_only=True):
    """Why one item stands where it stands."""

    item_key: int
    terms: dict[str, float]
    """The score of each term of the model; their sum is the score."""
    carriers: tuple[Carrier, ...] = ()


class RankAnswer(_Message, frozen=True, kw_only=True):
    """The ranking, best first, and its time (epoch ms)."""

    model_version: str
    as_of: int
    item_keys: list[int]
    scores: list[float]
    evidence: tuple[Evidence, ...] = ()


class RankRefusal(_Message, frozen=True, kw_only=True):
    """The request cannot be answered, and why."""

    reason: str
