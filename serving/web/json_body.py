"""JSON body: decodes the body of a POST, and names the field of a mistake.

Arrives: bytes. Leaves: a struct of msgspec. Next: the view that asked for it.
"""

import re
from typing import TypeVar

import msgspec

from serving.web.answers import Refused
from serving.web.intake import field_of
from stream.events import InvalidEvent, decoded

_T = TypeVar("_T")
_AT = re.compile(r" - at (?:`key` in )?`\$\.?(.*)`$")
_NAMED = re.compile(r"field `(\w+)`")


def read_body(body: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Return the struct in the body. Raises `Refused` with the path of the field, for example `slots[1].brands`."""
    try:
        return decoded(body, decoder)
    except InvalidEvent as error:
        reason = str(error)
        raise Refused(path_of(reason), _AT.sub("", reason)) from error


def read_posted(body: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Return the struct in the body. Raises `Refused` with the name of its field, and the path within the reason."""
    try:
        return decoded(body, decoder)
    except InvalidEvent as error:
        raise Refused(field_of(body, error), str(error)) from error


def path_of(reason: str) -> str:
    """Return the path of the field in an error of msgspec, or "" when no single field is wrong."""
    at, named = _AT.search(reason), _NAMED.search(reason)
    return ".".join(part for part in (at and at[1], named and named[1]) if part)
