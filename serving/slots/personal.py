"""Personal: the kinds of slots that are about one shopper.

Arrives: a draft. Leaves: batches of items, the best source first; the next batch is made only when the list needs it.
Next: `serving.slots.fill`.

The stored list comes first, because near-line has made it after the shopper's newest event and one MGET reads it. The
ranker comes first where the request brings what no stored list knows: a session, a cart, or items to rank.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from serving import coldstart
from serving.rules.repurchase import due_items
from serving.slots.draft import Batch, Draft
from serving.slots.ranked import ranked
from serving.slots.slot import Kind
from stream.events import utc

POPULAR = "popular"
"""The source of the model's list for strangers."""
GIVEN = "given"
"""The source of an item that stands where the request has put it."""


def for_you(draft: Draft) -> Iterator[Batch]:
    """Propose the model's items for the shopper, or for a session."""
    if draft.reranks or draft.request.session or draft.request.cart:
        if found := ranked(draft):
            yield found
        else:
            yield from stored(draft)
        if draft.reranks:
            yield as_given(draft)
    elif draft.visit.stored(draft.version) is None:
        yield from popular(draft)
        if found := ranked(draft):
            yield found
    else:
        yield from own_list(draft)
        if found := ranked(draft):
            yield found._replace(goes_on=True)
        yield from popular(draft)


def discover(draft: Draft) -> Iterator[Batch]:
    """Propose the model's items that the shopper has never touched. The draft hides all others."""
    if draft.request.session or draft.request.cart:
        if found := ranked(draft, known=False):
            yield found
        else:
            yield from stored(draft)
        return
    yield from stored(draft)
    if found := ranked(draft, known=False):
        yield found


def buy_again(draft: Draft) -> Iterator[Batch]:
    """Propose what the shopper has bought and is due again: first what the stored list has, in its order.

    A model that counts repeats knows how often the shopper bought an item, and Redis only when. The score is
    −log(1 + place).
    """
    visit = draft.visit
    bought = visit.store.items.by_id(list(visit.bought))
    context = replace(draft.context, bought=visit.bought, repurchase=visit.store.shop.repurchase())
    due = due_items([item for item in bought if item is not None], draft.request.slot.rules, context)
    stored = visit.stored(draft.version)
    places = {} if stored is None else {key: place for place, key in enumerate(stored[1].item_keys.tolist())}
    due.sort(key=lambda entry: places.get(entry[0].item_key, math.inf))  # keeps the order of the others
    scored = [(item, -math.log1p(place)) for place, (item, _) in enumerate(due)]
    yield Batch(draft.scored(scored, Kind.BUY_AGAIN), visit.now)


def recently_viewed(draft: Draft) -> Iterator[Batch]:
    """Propose what the shopper has touched, the newest first. The score is −log(1 + place)."""
    session = [event.item_id for event in reversed(draft.request.session)]
    order = dict.fromkeys([*session, *(item_id for item_id, _ in draft.visit.recent)])
    scored = [(item_id, -math.log1p(place)) for place, item_id in enumerate(order)]
    yield Batch(draft.by_id(scored, Kind.RECENTLY_VIEWED), draft.visit.now)


def stored(draft: Draft) -> Iterator[Batch]:
    """Propose the shopper's stored list, then the model's list for strangers."""
    yield from own_list(draft)
    yield from popular(draft)


def own_list(draft: Draft) -> Iterator[Batch]:
    """Propose the shopper's stored list. A stranger has no such list."""
    if found := draft.visit.stored(draft.version):
        source, packed = found
        yield Batch(draft.by_key(packed.item_keys.tolist(), packed.scores.tolist(), source), utc(packed.as_of))


def popular(draft: Draft) -> Iterator[Batch]:
    """Propose the model's list for strangers, or what is trending when the model has none."""
    store, now = draft.visit.store, draft.visit.now
    as_of, found = coldstart.for_the_unknown(
        store.redis, store.lists, store.items, draft.version, count=draft.request.k, now=now
    )
    yield Batch(draft.scored(found, POPULAR), as_of)


def as_given(draft: Draft) -> Batch:
    """Propose the request's own items in their order, when neither ranker nor list knows a better one."""
    scored = [(item_id, -math.log1p(place)) for place, item_id in enumerate(draft.request.items)]
    return Batch(draft.by_id(scored, GIVEN), draft.visit.now)
