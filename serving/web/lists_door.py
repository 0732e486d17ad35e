"""Lists door: the one way from a request for lists to the lists, whichever server code has read the request.

Arrives: a path, a query or a body, and the request's WSGI environment. Leaves: `Recommendation` values, and an
impression for each list that a slot shows. Next: `serving.web.views` (Django) and `serving.web.front` write the same
answer from it.

All functions raise `serving.web.answers.Refused` for a parameter, and the errors of `serving.recommend`: what each of
them answers, `serving.web.answers` says. Every parameter that a door does not know is refused: one that is misspelled
must not be ignored.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.http import QueryDict

from serving import recommend
from serving.coldstart import WINDOWS
from serving.online.protocol import SessionEvent
from serving.recommend import Recommendation
from serving.rules.criteria import NO_CRITERIA
from serving.slots.defaults import DEFAULT_SLOTS
from serving.slots.request import ListRequest
from serving.slots.slot import Kind, Slot
from serving.web import impressions, parameters, readers, services, signing
from serving.web.answers import Refused
from serving.web.authentication import shows_key
from serving.web.criteria import CRITERIA, only_known, read_criteria
from serving.web.parameters import DEFAULT_ITEMS

COMMON = frozenset({"k", "slot", "explain", "confirmed"})
"""The parameters of every list."""
VISIT = frozenset({"item", "cart", "session"})
"""Item ids that a list may depend on, each name as often as there are items."""
OF_SHOPPER = COMMON | VISIT | CRITERIA
OF_ITEM = COMMON | CRITERIA | {"user_id", "cart"}
OF_SHOP = COMMON | CRITERIA | {"user_id", "window"}
OF_CATEGORY = (COMMON | VISIT | CRITERIA | {"user_id"}) - {"category"}


def recommendation(user_id: str, query: QueryDict, environ: Mapping[str, Any], *, now: datetime) -> Recommendation:
    """Return the list of a shopper, by the rules of its slot."""
    user_id = parameters.identifier(user_id, "user_id")
    if not query.keys() <= COMMON:
        only_known(query, OF_SHOPPER)
    name, slot = parameters.slot(query, services.slot_book().current())
    return _from_query(read_list(query, name, slot, user_id), query, environ, now=now)


def about_item(
    item_id: str, kind: Kind, query: QueryDict, environ: Mapping[str, Any], *, now: datetime
) -> Recommendation:
    """Return what is like an item, or goes with it. Raises `UnknownItem`."""
    item_id = parameters.identifier(item_id, "item_id")
    only_known(query, OF_ITEM)
    name, slot = slot_of_kind(query, kind)
    request = read_list(query, name, slot, shopper_of(query), items=(item_id,))
    recommend.check_item(services.storefront(), item_id)
    return _from_query(request, query, environ, now=now)


def of_shop(kind: Kind, query: QueryDict, environ: Mapping[str, Any], *, now: datetime) -> Recommendation:
    """Return what sells or rises in the shop, or in the categories of the request."""
    only_known(query, OF_SHOP)
    name, slot = slot_of_kind(query, kind)
    window = parameters.one_of(query, "window", WINDOWS) or slot.window
    return _from_query(read_list(query, name, slot, shopper_of(query), window=window), query, environ, now=now)


def of_category(category: str, query: QueryDict, environ: Mapping[str, Any], *, now: datetime) -> Recommendation:
    """Return one category in the shopper's order."""
    category = parameters.name(category, "category")
    only_known(query, OF_CATEGORY)
    name, slot = slot_of_kind(query, Kind.CATEGORY)
    request = read_list(query, name, slot, shopper_of(query), category=category)
    return _from_query(request, query, environ, now=now)


def slot_of_kind(query: QueryDict, kind: Kind) -> tuple[str | None, Slot]:
    """Return the name and the slot for a door of one kind. Without a name, it is the slot with the kind's own name."""
    name, slot = parameters.slot(query, services.slot_book().current())
    if name is None:
        return None, own_slot(kind)
    if slot.kind is not kind:
        raise Refused("slot", f"{name!r} shows {slot.kind}, not {kind}")
    return name, slot


def own_slot(kind: Kind) -> Slot:
    """Return the slot with the kind's own name, or the default one where the slots file gives it another kind."""
    slot = services.slot_book().current()[kind]
    return slot if slot.kind is kind else DEFAULT_SLOTS[kind]


def shopper_of(query: QueryDict, field: str = "user_id") -> str | None:
    """Return the shopper of a list that can do without one."""
    value = query.get(field)
    return None if value is None else parameters.identifier(value, field)


def read_list(
    query: QueryDict,
    name: str | None,
    slot: Slot,
    user_id: str | None,
    *,
    items: tuple[str, ...] | None = None,
    category: str = "",
    window: str = "",
) -> ListRequest:
    """Return the request for a list of these parameters."""
    plain = query.keys() <= COMMON
    return ListRequest(
        slot=slot,
        name=name,
        k=parameters.number(query, "k", DEFAULT_ITEMS if name is None else slot.length),
        user_id=user_id,
        criteria=NO_CRITERIA if plain else read_criteria(dict(query.lists())),
        session=() if plain else tuple(SessionEvent(item_id=item) for item in parameters.ids(query, "session")),
        cart=() if plain else parameters.ids(query, "cart"),
        items=() if plain and items is None else items or parameters.ids(query, "item"),
        category=category,
        window=window,
        explain=parameters.flag(query, "explain"),
        request_id=signed_id(user_id),
    )


def signed_id(user_id: str | None) -> str:
    """Return a new request id for a list of this shopper. Nobody can say that the list of a session was seen."""
    return signing.new_request_id(user_id or "", key=signing.key_for(signing.REQUESTS))


def _from_query(request: ListRequest, query: QueryDict, environ: Mapping[str, Any], *, now: datetime) -> Recommendation:
    known = shows_key(environ)
    confirmed = parameters.confirmed(query, known=known)
    return answer([request], environ, known=known, confirmed=confirmed, now=now)[0]


def answer(
    requests: Sequence[ListRequest], environ: Mapping[str, Any], *, known: bool, confirmed: bool, now: datetime
) -> list[Recommendation]:
    """Return the lists of the requests, and log those that a slot shows to a shopper with an id.

    `known` says whether the request shows the API key, `confirmed` whether its reader vouches that the lists are shown.
    """
    answers = recommend.serve(services.storefront(), requests, now=now)
    log_shown(answers, environ, known=known, confirmed=confirmed, now=now)
    return answers


def log_shown(
    answers: Sequence[Recommendation], environ: Mapping[str, Any], *, known: bool, confirmed: bool, now: datetime
) -> None:
    """Log the lists that a slot shows to a shopper with an id."""
    shown = [served for served in answers if served.slot is not None and served.user_id and served.items]
    if not shown or environ["REQUEST_METHOD"] == "HEAD":  # a HEAD request shows no list
        return
    reader = readers.reader_of(environ, known=known, confirmed=confirmed, key=signing.key_for(signing.ADDRESSES))
    for served in shown:
        # What strangers log is bounded; the key has no bound.
        allowed = known or services.impression_limit().allow(environ["REMOTE_ADDR"])
        impressions.log(services.outbox(), served, served.slot or "", now=now, reader=reader, allowed=allowed)
