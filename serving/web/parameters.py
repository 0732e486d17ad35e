"""Parameters: checks the parameters of a request. A value outside its bounds raises `Refused` with the field's name.

Arrives: path parts and query strings. Leaves: plain values. Next: `serving.web.views`.
"""

from collections.abc import Collection, Mapping

from serving.web.answers import Refused
from stream.events import id_problem

MAX_ITEMS = 100
DEFAULT_ITEMS = 20

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


def slot(query: Mapping[str, str], known: Collection[str]) -> str | None:
    """Return the slot of the page that shows the list. None means that the list is not shown and not logged.

    Raises `Refused` for a name that is not configured: each name is a row of metrics for ever, so a stranger must not
    make names.
    """
    value = query.get("slot")
    if value is not None and value not in known:
        raise Refused("slot", f"{value[:20]!r} is none of {', '.join(sorted(known))} (SAGESTREAM_SLOTS)")
    return value


def confirmed(query: Mapping[str, str], *, known: bool) -> bool:
    """Return whether the reader vouches that the list is shown: one that shows the key does, unless it says no.

    `known` tells whether the key was shown. Raises `Refused` when a reader without the key says yes.
    """
    if "confirmed" not in query:
        return known
    vouches = flag(query, "confirmed")
    if vouches and not known:
        raise Refused("confirmed", "only a reader that shows the key vouches for a list: post to /seen/ instead")
    return vouches


def item_count(query: Mapping[str, str]) -> int:
    """Return `k`, the number of items. Raises `Refused`."""
    text = query.get("k")
    if text is None:
        return DEFAULT_ITEMS
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_ITEMS):
        raise Refused("k", f"{text[:20]!r} is not a whole number from 1 to {MAX_ITEMS}")
    return int(text)


def flag(query: Mapping[str, str], field: str) -> bool:
    """Return True or False. A missing parameter is False. Raises `Refused`."""
    text = query.get(field, "").lower()
    if text not in _FLAGS:
        raise Refused(field, f"{text[:20]!r} is neither 1 nor 0")
    return _FLAGS[text]
