"""Parameters: checks the parameters of a request. A value outside its bounds raises `Refused` with the field's name.

Arrives: path parts and query strings. Leaves: plain values. Next: `serving.web.views`.
"""

from collections.abc import Mapping

from serving.web.answers import Refused
from stream.events import MAX_ID_LENGTH

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
    """Return the id when it has 1 to 128 characters and no NUL, as the event contract requires. Raises `Refused`."""
    if not 1 <= len(value) <= MAX_ID_LENGTH:
        raise Refused(field, f"{len(value)} characters, not 1 to {MAX_ID_LENGTH}")
    if "\x00" in value:
        raise Refused(field, "a NUL character")
    return value


def slot(query: Mapping[str, str]) -> str | None:
    """Return the slot of the page that shows the list. None means that the list is not shown and not logged."""
    value = query.get("slot")
    return None if value is None else identifier(value, "slot")


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
