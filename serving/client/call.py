"""Call: one request as a value, so that the blocking and the asynchronous client send the same.

Arrives: arguments of a call. Leaves: a `Call`. Next: `serving.client.connection` sends it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar
from urllib.parse import quote

T = TypeVar("T")

Pairs = list[tuple[str, str]]


class Repeat(Enum):
    """When a call may be sent again."""

    FREELY = "twice is as good as once"
    UNTOUCHED = "only after the server has certainly done nothing"


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request. `read` turns the body of the answer into a value, and raises `msgspec` errors."""

    method: str
    path: str
    read: Callable[[bytes], T]
    query: Pairs = field(default_factory=list)
    body: Any = None
    """What msgspec writes as JSON; None: no body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    repeat: Repeat = Repeat.FREELY


def path(*parts: str) -> str:
    """Return the path of these parts. Each is quoted as a whole: an id may have slashes. Raises `ValueError`.

    A part of one or two dots would be taken for a step to another path, on whichever machine reads it first.
    """
    for part in parts:
        if part in ("", ".", ".."):
            raise ValueError(f"{part!r} cannot stand in a path")
    return "/" + "".join(f"{quote(part, safe='')}/" for part in parts)


def pairs(name: str, values: Iterable[str]) -> Pairs:
    """Return a parameter that is repeated for each value."""
    return [(name, value) for value in values]
