"""Ranked: asks the ranker for a list that no stored list answers.

Arrives: a draft. Leaves: items by the model's score now, or nothing when the ranker is away. Next: the kinds of slots
take the stored lists then, and the answer says what it lacks.

A draft asks once: a ranker that was away a moment ago is not waited for again in the same request.
"""

from serving.online.client import RankerAway
from serving.online.protocol import (
    MAX_CANDIDATES,
    MAX_RANKED,
    MAX_SESSION_EVENTS,
    SOURCE,
    RankAnswer,
    RankRequest,
    SessionEvent,
)
from serving.rules.criteria import NO_CRITERIA
from serving.slots.draft import Batch, Draft
from stream.events import EventType, utc

MORE = 5
"""For each position so many items are asked for, because the rules may leave some out."""
AT_LEAST = 50


def ranked(draft: Draft, *, known: bool | None = None) -> Batch | None:
    """Return the model's items for the draft, best first; None when the ranker is away, and `degraded` says why.

    `known` False leaves out what the shopper knows, True all else.
    """
    rules, request = draft.request.slot.rules, draft.request
    asked = min(MAX_RANKED, MORE * request.k + AT_LEAST)
    without = [item_id for item_id in draft.hidden if not item_id.startswith("\x00")]
    if not rules.offer_cart:
        without += request.cart
    criteria = tuple(one for one in (rules.only, *draft.criteria) if one != NO_CRITERIA)
    wanted = RankRequest(
        model_version=draft.version or None,
        user_id=request.user_id,
        session=session_of(draft),
        candidates=request.items[:MAX_CANDIDATES] if draft.reranks else None,
        criteria=criteria,
        without=tuple(without[:MAX_CANDIDATES]),
        known=known,
        k=asked,
    )
    answer = ask(draft, wanted)
    if answer is None:
        return None
    draft.session_counted = True
    draft.exhausted = known is None and len(answer.item_keys) < asked and len(without) <= MAX_CANDIDATES
    return Batch(draft.by_key(answer.item_keys, answer.scores, SOURCE), utc(answer.as_of))


def ask(draft: Draft, wanted: RankRequest) -> RankAnswer | None:
    """Return the ranker's answer; None when it is away, or was away for this draft already."""
    if draft.degraded is not None:
        return None
    try:
        return draft.visit.store.ranker.rank(wanted)
    except RankerAway as error:
        draft.degraded = f"ranker away: {error.reason}"
        return None


def session_of(draft: Draft) -> tuple[SessionEvent, ...]:
    """Return the events that the request brings, the cart among them: the newest ones, as many as one message takes."""
    cart = tuple(SessionEvent(item_id=item_id, event_type=EventType.CART) for item_id in draft.request.cart)
    return (*draft.request.session, *cart)[-MAX_SESSION_EVENTS:]
