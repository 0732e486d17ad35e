"""Refusals: events that the store can never take, found out of a batch that would fail again and again.

Arrives: a batch's events, and how to store some of them. Leaves: what the store said to the good ones, and the refused
ones with its reason. Next: `stream.worker.worker` makes them dead letters.

The batch is halved until the culprit stands alone: one among a thousand costs some twenty transactions. Every event is
idempotent, so a kill in the middle is healed by delivering the batch again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from stream.worker.retry import first_line

_E = TypeVar("_E")
_R = TypeVar("_R")


def is_permanent(error: BaseException) -> bool:
    """Whether the error is of the values: what the database, or its driver, will never take."""
    if isinstance(error, StatementError):
        # Other errors of the database are of the schema or of the server; a bare StatementError is a value that the
        # driver could not bind.
        return isinstance(error, DataError | IntegrityError) or not isinstance(error, DBAPIError)
    return isinstance(error, OverflowError | UnicodeError)


async def store_by_halves(
    events: Sequence[_E],
    store: Callable[[Sequence[_E], bool], Awaitable[_R]],
    *,
    too_many: Callable[[Sequence[tuple[int, str]]], bool],
) -> tuple[list[_R], list[tuple[int, str]]]:
    """Store `events` as one, or else in parts: the results, and index and reason of each one refused, ascending.

    `store(part, whole)` is told whether it gets all. `too_many` is asked with the refused ones so far; where it says
    so, the rest is not tried. Raises what `store` raises and is not permanent.
    """
    results: list[_R] = []
    refused: list[tuple[int, str]] = []
    parts = [(0, len(events))]
    while parts and not too_many(refused):
        first, last = parts.pop()
        try:
            results.append(await store(events[first:last], last - first == len(events)))
        except Exception as error:
            if not is_permanent(error):
                raise
            if last - first <= 1:
                refused.append((first, f"the store refused it: {first_line(error)}"))
            else:
                middle = (first + last) // 2
                parts += [(middle, last), (first, middle)]
    return results, refused
