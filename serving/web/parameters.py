"""Parameters: checks the parameters of a request. A value outside its bounds raises `Refused` with the field's name.

Arrives: path parts and query strings. Leaves: plain values. Next: `serving.web.views`.
"""

from collections.abc import Collection, Mapping

from django.http import QueryDict

from serving.slots.defaults import PLAIN
from serving.slots.slot import Slot
from serving.web.answers import Refused
from stream.events import id_problem

MAX_ITEMS = 100
DEFAULT_ITEMS = 20
"""Items of a list without a slot. A slot has a length of its own."""
MAX_IDS = 200
"""Ids in one parameter."""
MAX_NAME_LENGTH = 1024

_FLAGS = {"1": True, "true": True, "yes": True, "": False, "0": False, "false": False, "no": False}


class IdConverter:
    """An id in a path: any characters, also slashes and line breaks. `identifier` checks the bounds."""

    regex = r"[\s\S]+?"

    def to_python(self, value: str) -> str:
        """Return the value. Django has decoded it already."""
        return value

    def to_url(self, value: str) -> str:
        """Return the value. Django quotes it."""
        return value


def identifier(value: str, field: str) -> str:
    """Return the id when the event contract allows it. Raises `Refused`.

    A list that is shown becomes an impression: an id outside the contract would become a dead letter.
    """
    problem = id_problem(value)
    if problem is not None:
        raise Refused(field, f"the id has {problem} - at `{field}`")
    return value


def name(value: str, field: str) -> str:
    """Return the name of a category. Raises `Refused` for one that no category of the event contract has."""
    if not 1 <= len(value) <= MAX_NAME_LENGTH or any(one == "\x00" or "\ud800" <= one <= "\udfff" for one in value):
        raise Refused(field, f"no name: 1 to {MAX_NAME_LENGTH} characters, without NUL - at `{field}`")
    return value


def ids(query: QueryDict, field: str) -> tuple[str, ...]:
    """Return the ids of a parameter that may come several times. Raises `Refused`."""
    values = query.getlist(field)
    if len(values) > MAX_IDS:
        raise Refused(field, f"{len(values)} ids, at most {MAX_IDS} are allowed")
    return tuple(identifier(value, field) for value in values)


def one_of(query: Mapping[str, str], field: str, choices: Collection[str]) -> str:
    """Return a parameter that is one of a few words, "" without it. Raises `Refused`."""
    value = query.get(field)
    if value is not None and value not in choices:
        raise Refused(field, f"{value[:20]!r} is none of {', '.join(choices)}")
    return value or ""


def slot(query: Mapping[str, str], known: Mapping[str, Slot]) -> tuple[str | None, Slot]:
    """Return the name and the slot of the page that shows the list.

    No name means that the list is not shown and not logged. Raises `Refused` for a name that is not configured: each
    name is a row of metrics for ever, so a stranger must not make names.
    """
    value = query.get("slot")
    if value is None:
        return None, PLAIN
    found = known.get(value)
    if found is None:
        raise Refused("slot", f"{value[:20]!r} is none of {', '.join(sorted(known))} (SAGESTREAM_SLOTS_FILE)")
    return value, found


def confirmed(query: Mapping[str, str], *, known: bool) -> bool:
    """Return whether the reader vouches that the list is shown, as `vouches`."""
    return vouches(flag(query, "confirmed") if "confirmed" in query else None, known=known)


def vouches(said: bool | None, *, known: bool) -> bool:
    """Return whether the reader vouches that the list is shown: one that shows the key does, unless it says no.

    `known` tells whether the key was shown. Raises `Refused` when a reader without the key says yes.
    """
    if said and not known:
        raise Refused("confirmed", "only a reader that shows the key vouches for a list: post to /seen/ instead")
    return known if said is None else said


def number(query: Mapping[str, str], field: str, default: int, *, least: int = 1) -> int:
    """Return a parameter that is a number of items, at most `MAX_ITEMS`. Raises `Refused`."""
    text = query.get(field)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and least <= int(text) <= MAX_ITEMS):
        raise Refused(field, f"{text[:20]!r} is not a whole number from {least} to {MAX_ITEMS}")
    return int(text)


def flag(query: Mapping[str, str], field: str) -> bool:
    """Return True or False. A missing parameter is False. Raises `Refused`."""
    text = query.get(field, "").lower()
    if text not in _FLAGS:
        raise Refused(field, f"{text[:20]!r} is neither 1 nor 0")
    return _FLAGS[text]
