"""Crediting: the rules that say which served list gets a click, a cart, a purchase or a take-back.

Arrives: one shopper's events and shown items in order of time. Leaves: a `Credit` or None for each event. Next:
`monitoring.attribution` stores them. Nothing here reads or writes: the credits are a pure function of the rows.

1. An event that names a list is credited to it, if the list holds the item, was served to the same shopper before the
   event, and not longer ago than the window. The named position wins, else the item's first (`matched_by` request). The
   event may be up to `CLOCK_SKEW_MS` older than the list: a shop that stamps its events may have a clock behind ours.
2. Else the last list of the shopper that has shown the item within the window (`matched_by` item): last touch. Of two
   lists served in the same millisecond the smaller request_id wins.
3. A return or a cancellation goes to the list of the purchase that it takes back: the newest earlier credited purchase
   of the item with something left, of the named order when it names one. Its revenue is negative and never more than
   what is left of the purchase.

Windows: a day for a click and for a cart, seven days for a purchase, as advertising networks have them. All times are
epoch ms of the shop's own clock, never of arrival.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from graphstore.takebacks import PURCHASE, TAKE_BACK_CODES, left_of
from monitoring.credit_windows import CreditWindows

CLOCK_SKEW_MS = 60_000
"""How far a shop's clock may be behind that of the web process which stamps the lists."""

BY_REQUEST = "request"
BY_ITEM = "item"


class ShownItem(NamedTuple):
    """An item at a position of a list of the shopper."""

    time: int
    request_id: str
    position: int
    item_id: str


class Credit(NamedTuple):
    """Where an event is credited to; the columns of `attributions` that can change."""

    request_id: str
    position: int
    list_time: int | None
    matched_by: str
    order_id: str | None = None
    revenue: float | None = None
    currency: str | None = None


class CreditEvent(NamedTuple):
    """An event of the shopper. `named` are the positions of its item in the list that it names."""

    event_id: str
    event_type: int
    time: int
    item_id: str
    value: float | None = None
    quantity: float | None = None
    position: int | None = None
    order_id: str | None = None
    currency: str | None = None
    named: tuple[ShownItem, ...] = ()
    stored: Credit | None = None
    """What `attributions` has now."""
    final: bool = False
    """`stored` stays: the list was deleted by retention, or the event is older than what has changed."""


@dataclass
class _Bought:
    """A credited purchase. `left` is the quantity that was not taken back."""

    credit: Credit
    price: float | None
    left: float


def credited(
    events: Iterable[CreditEvent], shown: Iterable[ShownItem], windows: CreditWindows
) -> Iterator[tuple[CreditEvent, Credit | None]]:
    """Return each event with its credit. Both inputs are in order of time; ties may have any order.

    Holds one entry for each shown item and each credited purchase, whatever the number of events and lists.
    """
    upcoming = iter(shown)
    following = next(upcoming, None)
    last: dict[str, ShownItem] = {}
    bought: dict[str, list[_Bought]] = {}
    for time, group in groupby(events, key=lambda event: event.time):
        while following is not None and following.time <= time:
            known = last.get(following.item_id)
            if known is None or following.time > known.time or following[:3] < known[:3]:
                last[following.item_id] = following
            following = next(upcoming, None)
        # Of one millisecond, purchases come before what takes them back.
        for event in sorted(group, key=lambda event: (event.event_type in TAKE_BACK_CODES, event.event_id)):
            yield event, _credit(event, last, bought, windows)


def named_place(event: CreditEvent, windows: CreditWindows) -> ShownItem | None:
    """Return the position in the named list that gets the event, or None (rule 1)."""
    oldest = event.time - windows.milliseconds(purchase=event.event_type == PURCHASE)
    places = [place for place in event.named if oldest <= place.time <= event.time + CLOCK_SKEW_MS]
    return min(places, key=lambda place: (place.position != event.position, place.position), default=None)


def _credit(
    event: CreditEvent, last: dict[str, ShownItem], bought: dict[str, list[_Bought]], windows: CreditWindows
) -> Credit | None:
    if event.event_type in TAKE_BACK_CODES:
        taken = _taken_back(event, bought.get(event.item_id, []))
        return event.stored if event.final else taken
    credit = event.stored if event.final else _served(event, last, windows)
    if credit is not None and event.event_type == PURCHASE:
        bought.setdefault(event.item_id, []).append(_Bought(credit, event.value, event.quantity or 1))
    return credit


def _served(event: CreditEvent, last: dict[str, ShownItem], windows: CreditWindows) -> Credit | None:
    place, matched_by = named_place(event, windows), BY_REQUEST
    if place is None:
        place, matched_by = last.get(event.item_id), BY_ITEM
        if place is None or place.time < event.time - windows.milliseconds(purchase=event.event_type == PURCHASE):
            return None
    if event.event_type != PURCHASE:
        return Credit(place.request_id, place.position, place.time, matched_by)
    revenue = None if event.value is None else event.value * (event.quantity or 1)
    return Credit(place.request_id, place.position, place.time, matched_by, event.order_id, revenue, event.currency)


def _taken_back(event: CreditEvent, bought: list[_Bought]) -> Credit | None:
    """Take pieces back from the newest purchase that has some left (rule 3). Without a quantity: all of them.

    The shop's refund counts when it is in the purchase's currency and less than the price.
    """
    for purchase in reversed(bought):
        if purchase.left <= 0 or (event.order_id is not None and event.order_id != purchase.credit.order_id):
            continue
        pieces = min(purchase.left, event.quantity or purchase.left)
        purchase.left = left_of(purchase.left - pieces, purchase.left)
        revenue = None
        if purchase.price is not None:
            price = purchase.price
            if event.value is not None and event.currency in (None, purchase.credit.currency):
                price = min(price, abs(event.value))
            revenue = -price * pieces
        return purchase.credit._replace(revenue=revenue)
    return None
