"""Lists: the calls that ask for lists of items.

What many calls have in common is an option by its name: `shop.recommendations("u42", slot="home", k=6)`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict, Unpack

import msgspec

from serving.client.answers import Categories, Category, Lists, Recommendation
from serving.client.call import Call, Pairs, Repeat, pairs, path
from stream.events import EventType

_read_list = msgspec.json.Decoder(Recommendation).decode
_read_lists = msgspec.json.Decoder(Lists).decode
_read_categories = msgspec.json.Decoder(Categories).decode


class Criteria(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which items a list may hold. All fields must hold; of the names in one field, one is enough."""

    categories: Sequence[str] = ()
    brands: Sequence[str] = ()
    price_min: float | None = None
    price_max: float | None = None
    attributes: Mapping[str, Sequence[str]] = {}
    """By name of the attribute: its values, as text (`true`, `42`)."""
    without_items: Sequence[str] = ()
    without_categories: Sequence[str] = ()
    without_brands: Sequence[str] = ()


class Did(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a shopper did in a session that is not stored. Without a time it was just now, in the order given."""

    item_id: str
    event_type: EventType = EventType.VIEW
    event_time: datetime | None = None


@dataclass(frozen=True)
class Visit:
    """What the request itself knows: nothing of it is stored.

    `session` is oldest first, a text is an item that was viewed. `items` are what the list is about, or what it puts
    into the shopper's order.
    """

    session: Sequence[str | Did] = field(default_factory=tuple)
    cart: Sequence[str] = field(default_factory=tuple)
    items: Sequence[str] = field(default_factory=tuple)


class Slot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One list of several, with what it has of its own."""

    slot: str
    k: int | None = None
    items: Sequence[str] | None = None
    criteria: Criteria | None = None
    category: str | None = None


class Common(TypedDict, total=False):
    """Options of every list. `user_agent` is that of whoever asked the shop's server, so that robots are marked."""

    explain: bool
    confirmed: bool
    criteria: Criteria
    user_agent: str


class OfList(Common, total=False):
    """Options of one list. With a `slot` it is logged as shown in that place."""

    slot: str
    k: int


class OfShopper(OfList, total=False):
    """Options of a shopper's list."""

    visit: Visit


class OfItem(OfList, total=False):
    """Options of a list about an item: whose rules and model count, and what is in the cart."""

    user_id: str
    cart: Sequence[str]


class OfShop(OfList, total=False):
    """Options of what sells or rises: `window` is 1h, 24h or 7d; criteria with a category give that of the category."""

    user_id: str
    window: str


class OfCategory(OfShopper, total=False):
    """Options of the list of one category."""

    user_id: str


class OfPage(Common, total=False):
    """Options of all lists of a page. Without `user_id` nothing is stored. `category` is that of the page."""

    user_id: str
    visit: Visit
    category: str


def recommendations(user_id: str, **options: Unpack[OfShopper]) -> Call[Recommendation]:
    """The list of a shopper; for one who is unknown, what is popular."""
    return _list(path("recommendations", user_id), options, OfShopper)


def lists(*slots: str | Slot, **options: Unpack[OfPage]) -> Call[dict[str, Recommendation]]:
    """The lists of several slots by their names, without an item in two of them. For a shopper, or for a session."""
    _check(options, OfPage)
    visit = options.get("visit", Visit())
    body: dict[str, Any] = {
        "slots": slots,
        "session": [Did(item_id=one) if isinstance(one, str) else one for one in visit.session],
        "cart": visit.cart,
        "items": visit.items,
        "context": {"category": options["category"]} if "category" in options else None,
        **{name: options.get(name) for name in ("user_id", "criteria", "explain", "confirmed")},
    }
    return Call(
        "POST",
        path("recommendations"),
        lambda raw: _read_lists(raw).lists,
        body={name: value for name, value in body.items() if value is not None},
        headers=_headers(options),
        repeat=_repeat(options, shown="user_id" in options),
    )


def similar(item_id: str, **options: Unpack[OfItem]) -> Call[Recommendation]:
    """What may stand in for an item. Raises `NotFound` for an unknown one."""
    return _list(path("items", item_id, "similar"), options, OfItem)


def bought_together(item_id: str, **options: Unpack[OfItem]) -> Call[Recommendation]:
    """What others bought in one order with an item. Raises `NotFound` for an unknown one."""
    return _list(path("items", item_id, "bought-together"), options, OfItem)


def trending(**options: Unpack[OfShop]) -> Call[Recommendation]:
    """What rises: more events than its own past lets expect."""
    return _list(path("trending"), options, OfShop)


def best_sellers(**options: Unpack[OfShop]) -> Call[Recommendation]:
    """What sells most."""
    return _list(path("best-sellers"), options, OfShop)


def categories() -> Call[list[Category]]:
    """The categories that have items to buy, the largest first."""
    return Call("GET", path("categories"), lambda raw: _read_categories(raw).categories)


def category_items(category: str, **options: Unpack[OfCategory]) -> Call[Recommendation]:
    """The items of one category, in the shopper's order."""
    return _list(path("categories", category, "items"), options, OfCategory)


def _list(where: str, options: Mapping[str, Any], kind: type) -> Call[Recommendation]:
    _check(options, kind)
    return Call(
        "GET",
        where,
        _read_list,
        query=_query(options),
        headers=_headers(options),
        repeat=_repeat(options, shown="slot" in options),
    )


def _check(options: Mapping[str, Any], kind: type) -> None:
    """Raise `TypeError` for an option that the call does not have, as Python does for a parameter."""
    names: frozenset[str] = kind.__optional_keys__  # type: ignore[attr-defined]
    for name in options:
        if name not in names:
            raise TypeError(f"unknown option {name!r}; there are {', '.join(sorted(names))}")


def _query(options: Mapping[str, Any]) -> Pairs:
    query: Pairs = []
    for name in ("slot", "k", "user_id", "window"):
        if name in options:
            query.append((name, str(options[name])))
    for name in ("explain", "confirmed"):
        if name in options:
            query.append((name, "true" if options[name] else "false"))
    visit: Visit = options.get("visit", Visit())
    if any(not isinstance(one, str) for one in visit.session):
        raise TypeError("only `lists` takes a session with types and times of events")
    query += pairs("cart", options.get("cart", visit.cart)) + pairs("item", visit.items)
    query += pairs("session", [one for one in visit.session if isinstance(one, str)])
    return query + _criteria(options.get("criteria", Criteria()))


def _criteria(given: Criteria) -> Pairs:
    prices = {"price_min": given.price_min, "price_max": given.price_max}
    return (
        pairs("category", given.categories)
        + pairs("brand", given.brands)
        + [(name, f"{price:.12g}") for name, price in prices.items() if price is not None]
        + [pair for name, values in given.attributes.items() for pair in pairs(f"attribute.{name}", values)]
        + pairs("without", given.without_items)
        + pairs("without_category", given.without_categories)
        + pairs("without_brand", given.without_brands)
    )


def _headers(options: Mapping[str, Any]) -> dict[str, str]:
    return {"User-Agent": options["user_agent"]} if options.get("user_agent") else {}


def _repeat(options: Mapping[str, Any], *, shown: bool) -> Repeat:
    """Return when a list may be asked for again: one that counts as shown must not be logged twice."""
    return Repeat.UNTOUCHED if shown and options.get("confirmed") is not False else Repeat.FREELY
