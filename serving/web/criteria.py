"""Criteria of a request: reads the parameters that say which items a list may hold.

Arrives: a query string's names, each with all its values. Leaves: a `Criteria`. Next: `serving.recommend`.

A name may come several times; its values are not split at commas, since names of categories have commas. The same
criteria in a JSON body are a `Criteria`, whose bounds msgspec checks.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from serving.rules.criteria import MAX_ATTRIBUTES, MAX_PRICE, NO_CRITERIA, Criteria, Ids, Name, Names
from serving.web.answers import Refused

Query = Mapping[str, Sequence[str]]
"""Every name with all its values: `dict(request.query_params.lists())`, or `parse_qs(text, keep_blank_values=True)`."""
ATTRIBUTE = "attribute."
"""The beginning of the parameters `attribute.NAME=VALUE`."""
NAMES = {
    "category": "categories",
    "brand": "brands",
    "without_category": "without_categories",
    "without_brand": "without_brands",
}
"""The parameters with names, and the fields of `Criteria`."""
WITHOUT = "without"
PRICES = ("price_min", "price_max")
CRITERIA = frozenset({*NAMES, WITHOUT, *PRICES, ATTRIBUTE})
"""The parameters of `read_criteria`."""

LONGEST_SHOWN = 40
# Python's own float takes more: 1_000, spaces, digits of other scripts.
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,20})?([eE][+-]?\d{1,3})?", re.ASCII)
_T = TypeVar("_T")


def read_criteria(query: Query) -> Criteria:
    """Return the criteria of a query. Other parameters are ignored. Raises `Refused` with the parameter's name."""
    fields: dict[str, Any] = {
        field: _checked(name, query[name], Names) for name, field in NAMES.items() if name in query
    }
    if WITHOUT in query:
        fields["without_items"] = _checked(WITHOUT, query[WITHOUT], Ids)
    fields |= {name: _price(name, query[name]) for name in PRICES if name in query}
    attributes = [name for name in query if name.startswith(ATTRIBUTE)]
    if len(attributes) > MAX_ATTRIBUTES:
        raise Refused(shown(attributes[MAX_ATTRIBUTES]), f"more than {MAX_ATTRIBUTES} attributes")
    if attributes:
        fields["attributes"] = {
            _checked(name, name.removeprefix(ATTRIBUTE), Name): _checked(name, query[name], Names)
            for name in attributes
        }
    try:
        return Criteria(**fields) if fields else NO_CRITERIA
    except ValueError as error:  # a price range without a price
        raise Refused("price_min", str(error)) from error


def only_known(names: Iterable[str], allowed: Collection[str]) -> None:
    """Raise `Refused` with the first name that is not allowed. `ATTRIBUTE` allows each `attribute.NAME=VALUE`."""
    for name in names:
        if name.startswith(ATTRIBUTE) and ATTRIBUTE in allowed:
            continue  # `read_criteria` checks the rest of the name
        if name not in allowed:
            known = ", ".join(f"{ATTRIBUTE}NAME" if one == ATTRIBUTE else one for one in sorted(allowed))
            raise Refused(shown(name), f"unknown parameter: this address has {known or 'none'}")


def shown(name: str) -> str:
    """Return a parameter's name as an answer may show it: short, and always text."""
    return name[:LONGEST_SHOWN].encode(errors="replace").decode()


def _checked(name: str, given: Sequence[str], kind: type[_T]) -> _T:
    """Return the values within the bounds of the kind. Raises `Refused`."""
    texts = [given] if isinstance(given, str) else given
    if any("\x00" in text or any("\ud800" <= one <= "\udfff" for one in text) for text in texts):
        raise Refused(shown(name), "a NUL character, or not UTF-8")
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise Refused(shown(name), str(error).partition(" - at ")[0]) from error


def _price(name: str, values: Sequence[str]) -> float:
    if len(values) != 1:
        raise Refused(name, f"{len(values)} values, not one")
    price = float(values[0]) if _NUMBER.fullmatch(values[0]) else math.inf
    if price > MAX_PRICE:
        raise Refused(name, f"{values[0][:20]!r} is not a price from 0 to {MAX_PRICE:g}")
    return price
