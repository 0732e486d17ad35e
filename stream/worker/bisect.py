"""Bisect: finds the events that the store can never accept in a batch that would fail again and again.

Arrives: the events of a batch and a function that stores some of them. Leaves: the results for the good events, and the
refused events with the reason. Next: `stream.worker.worker` makes dead letters of the refused ones.

The batch is halved until the refused event is alone. One refused event among a thousand costs about twenty
transactions. Events are idempotent, so after a kill the batch is simply delivered again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from stream.worker.retry import first_line

_E = TypeVar("_E")
_R = TypeVar("_R")


def is_permanent(error: BaseException) -> bool:
    """Return whether the values cause the error, so that the database or its driver can never accept them."""
    if isinstance(error, StatementError):
        # Other database errors come from the schema or the server. A bare StatementError is a value that the driver
        # could not bind.
        return isinstance(error, DataError | IntegrityError) or not isinstance(error, DBAPIError)
    return isinstance(error, OverflowError | UnicodeError)


async def store_by_halves(
    events: Sequence[_E],
    store: Callable[[Sequence[_E], bool], Awaitable[_R]],
    *,
    on_refused: Callable[[Sequence[tuple[int, str]]], Awaitable[None]],
) -> tuple[list[_R], list[tuple[int, str]]]:
    """Store all events at once, or in parts after a permanent error.

    Args:
        events: the events of a batch.
        store: stores a part; its second argument says whether the part is the whole batch.
        on_refused: gets (index, reason) of the refused events so far, after each one; it may wait before the rest is
            tried.

    Returns:
        The results of the parts, and (index, reason) of each refused event, ascending.

    Raises:
        Exception: the error of `store` when it is not permanent (`is_permanent`).
    """
    results: list[_R] = []
    refused: list[tuple[int, str]] = []
    parts = [(0, len(events))]
    while parts:
        first, last = parts.pop()
        try:
            results.append(await store(events[first:last], last - first == len(events)))
        except Exception as error:
            if not is_permanent(error):
                raise
            if last - first <= 1:
                refused.append((first, f"the store refused it: {first_line(error)}"))
                await on_refused(refused)
            else:
                middle = (first + last) // 2
                parts += [(middle, last), (first, middle)]
    return results, refused
