"""A block of events from PostgreSQL: the rows of a range of keys, each column as one array.

Arrives: a connection, and a range of keys of `interactions`. Leaves: events [num_events] of dtype `EVENT`. Next:
`graphstore.snapshots.readers` reads block after block, over one connection or several.

The server makes one array of each column, and numpy reads its bytes. Row by row, the client made seven Python objects
of each event, which took more time than all work of the server.
"""

from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, event, func, select

from graphstore.snapshots.eventlog import EVENT, Events, Seen
from graphstore.tables import interactions

BINARY = 1
"""psycopg's number for an answer in bytes. psycopg is installed only where PostgreSQL is used."""

ARRAY_HEADER = np.dtype([("dimensions", ">i4"), ("nulls", ">i4"), ("type", ">u4"), ("length", ">i4"), ("first", ">i4")])
"""What PostgreSQL's `array_send` writes before the elements of an array. Each element follows its length in bytes."""

_COLUMNS = {
    "key": (interactions.c.interaction_key, ">i8"),
    "user": (interactions.c.user_key, ">i8"),
    "item": (interactions.c.item_key, ">i8"),
    "time": (interactions.c.event_time, ">i8"),
    # A null has no bytes, and then the elements would not be equally long.
    "value": (func.coalesce(interactions.c.value, nan), ">f8"),
    "quantity": (func.coalesce(interactions.c.quantity, nan), ">f8"),
    "type": (interactions.c.event_type, ">i2"),
}
"""For each field of `EVENT` the column, and the type of its elements on the wire."""


class UnknownArray(RuntimeError):
    """The server sent an array of another form than PostgreSQL's."""


def ask_in_binary(connection: Connection) -> None:
    """Let `read_block` get bytes as bytes on this connection. As text they would be hexadecimal, twice as many."""
    event.listen(connection, "before_cursor_execute", _choose_binary)


def _choose_binary(_connection: Any, cursor: Any, _statement: Any, _values: Any, context: Any, _many: Any) -> None:
    if context.execution_options.get("binary"):
        cursor.format = BINARY


def read_block(connection: Connection, seen: Seen, first: int, last: int) -> Events:
    """Read the rows of `seen` whose keys are from `first` to `last`, in no order. Call `ask_in_binary` before.

    Raises `UnknownArray`.
    """
    key = interactions.c.interaction_key
    arrays = [func.array_send(func.array_agg(column)) for column, _ in _COLUMNS.values()]
    query = select(*arrays).where(seen.condition(), key >= first, key <= last)
    row = connection.execute(query, execution_options={"binary": True}).one()
    if row[0] is None:
        return np.empty(0, dtype=EVENT)
    columns = [_elements(sent, kind) for sent, (_, kind) in zip(row, _COLUMNS.values(), strict=True)]
    events = np.empty(len(columns[0]), dtype=EVENT)
    for name, column in zip(_COLUMNS, columns, strict=True):
        events[name] = column
    for name in ("value", "quantity"):
        events[name][np.isnan(events[name])] = nan  # the bits of NaN may differ, and snapshots are equal bit for bit
    return events


def _elements(sent: bytes, kind: str) -> npt.NDArray[Any]:
    """Return the elements of an array that `array_send` wrote."""
    element = np.dtype([("bytes", ">i4"), ("value", kind)])
    (header,) = np.frombuffer(sent, dtype=ARRAY_HEADER, count=1)
    if header["dimensions"] != 1 or len(sent) != ARRAY_HEADER.itemsize + header["length"] * element.itemsize:
        raise UnknownArray(f"{len(sent)} bytes are not an array of {header['length']} elements of the type {kind}")
    elements = np.frombuffer(sent, dtype=element, offset=ARRAY_HEADER.itemsize)
    if not (elements["bytes"] == element["value"].itemsize).all():
        raise UnknownArray(f"an element of an array has another length than the type {kind}")
    values: npt.NDArray[Any] = elements["value"]
    return values
