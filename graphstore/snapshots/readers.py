"""Reads the events of a snapshot, on PostgreSQL over several connections where that is asked for.

Arrives: a connection in a read transaction, and which rows a snapshot contains. Leaves: events [num_events] of dtype
`EVENT`, sorted by (time, key). Next: `graphstore.snapshots.snapshot`.

A snapshot reads only the rows that its parent does not have: later keys, and earlier keys of a time that the parent
left out. On PostgreSQL the later keys are read in blocks. Every reader takes the next block when it has read its own,
so readers are equally busy, wherever the rows are. All of them see the state of the first transaction
(`pg_export_snapshot`), so together they read what one would read, whatever is written meanwhile.
"""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from math import nan
from threading import Lock
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, and_, func, select

from graphstore.config import SNAPSHOT_READERS
from graphstore.session import read
from graphstore.snapshots.eventlog import EVENT, FETCH_ROWS, Events, Seen, in_order
from graphstore.snapshots.key_blocks import ask_in_binary, read_block
from graphstore.tables import interactions

BLOCK_KEYS = 50_000
"""Keys in one block, four megabytes of answer. Smaller blocks wait more often for a server that is far away."""

_LOCK = f"LOCK TABLE {interactions.name} IN ACCESS SHARE MODE"
"""The lock of every SELECT."""


def read_events(
    connection: Connection, seen: Seen, *, parent: Seen | None = None, readers: int = SNAPSHOT_READERS
) -> Events:
    """Read the rows that `seen` contains and `parent` does not, sorted by (time, key), into one array.

    `readers` connections read on PostgreSQL: this one, and others of its engine. An error in one of them ends all and
    is raised here.
    """
    key = interactions.c.interaction_key
    if connection.dialect.name == "sqlite":
        parts = [_stream(connection, and_(seen.condition(), key > parent.last_key) if parent else seen.condition())]
    else:
        parts = _read_blocks(connection, seen, parent.last_key + 1 if parent else 0, readers)
    if parent is not None:
        # `key + 0` stops SQLite from using the index on the key: it would visit all old rows for a few in this range.
        between = and_(seen.condition(), key + 0 <= parent.last_key, interactions.c.event_time >= parent.as_of)
        parts.append(_stream(connection, between))
    return in_order(_joined(parts))


def _joined(parts: list[Events]) -> Events:
    """Return one array of all parts, and empty the list: parts and whole together would be twice the memory."""
    whole = np.empty(sum(map(len, parts)), dtype=EVENT)
    end = len(whole)
    while parts:
        part = parts.pop()
        whole[end - len(part) : end] = part
        end -= len(part)
    return whole


def _stream(connection: Connection, condition: ColumnElement[bool]) -> Events:
    return np.fromiter(_rows(connection, condition), dtype=EVENT)


def _rows(connection: Connection, condition: ColumnElement[bool]) -> Iterator[tuple[Any, ...]]:
    query = select(
        interactions.c.interaction_key,
        interactions.c.user_key,
        interactions.c.item_key,
        interactions.c.event_time,
        interactions.c.value,
        interactions.c.quantity,
        interactions.c.event_type,
    ).where(condition)
    options = {"stream_results": True, "yield_per": FETCH_ROWS}
    for key, user, item, time, value, quantity, kind in connection.execute(query, execution_options=options):
        yield key, user, item, time, nan if value is None else value, nan if quantity is None else quantity, kind


class _Blocks:
    """The blocks that nobody has taken yet, for all readers."""

    def __init__(self, first: int, last: int) -> None:
        self._next, self._last, self._lock = first, last, Lock()

    def __len__(self) -> int:
        return -(-max(0, self._last + 1 - self._next) // BLOCK_KEYS)

    def take(self) -> tuple[int, int] | None:
        """Return the first and the last key of a block; None when there is nothing more to read."""
        with self._lock:
            first = self._next
            self._next = min(first + BLOCK_KEYS, self._last + 1)
            return (first, self._next - 1) if first <= self._last else None

    def skip_to(self, key: int | None) -> None:
        """Leave out the keys before `key`, which have no rows. None: no later key has a row."""
        with self._lock:
            self._next = self._last + 1 if key is None else max(self._next, key)


def _read_blocks(connection: Connection, seen: Seen, first: int, readers: int) -> list[Events]:
    blocks = _Blocks(first, seen.last_key)
    with (
        _same_state(connection, min(readers, len(blocks)) - 1) as others,
        ThreadPoolExecutor(max(1, len(others)), "snapshot-reader") as threads,
    ):
        try:
            running = [threads.submit(_read, other.connection, seen, blocks) for other in others]
            parts = _read(connection, seen, blocks)
            return parts + [part for other in running for part in other.result()]
        except BaseException:  # also of Ctrl-C, which only this thread notices
            blocks.skip_to(None)
            for other in others:
                other.hang_up()
            raise


def _read(connection: Connection, seen: Seen, blocks: _Blocks) -> list[Events]:
    """Read blocks until no reader has one left to take. An error takes the remaining ones away from all readers."""
    parts = []
    ask_in_binary(connection)
    try:
        while (block := blocks.take()) is not None:
            events = read_block(connection, seen, *block)
            if len(events):
                parts.append(events)
            else:
                blocks.skip_to(_next_key(connection, block[1]))
    except BaseException:
        blocks.skip_to(None)
        raise
    return parts


def _next_key(connection: Connection, key: int) -> int | None:
    """Return the first key after `key`. Keys may have wide gaps, as after a restored sequence."""
    first = func.min(interactions.c.interaction_key)
    found: int | None = connection.scalar(select(first).where(interactions.c.interaction_key > key))
    return found


@dataclass(frozen=True)
class _Reader:
    """A further connection, and its socket."""

    connection: Connection
    line: socket.socket

    def hang_up(self) -> None:
        """End what the connection waits for in another thread."""
        with suppress(OSError):  # the server was faster
            self.line.shutdown(socket.SHUT_RDWR)


@contextmanager
def _same_state(connection: Connection, count: int) -> Iterator[list[_Reader]]:
    """Open `count` further connections that see what the transaction of `connection` sees. An error closes them."""
    with ExitStack() as opened:
        others: list[_Reader] = []
        if count > 0:
            connection.exec_driver_sql(_LOCK)
            state = connection.scalar(select(func.pg_export_snapshot()))
        try:
            for _ in range(count):
                other = opened.enter_context(read(connection.engine))
                # Its own number: psycopg may close the socket at any moment, and another file would get that number.
                line = opened.enter_context(socket.socket(fileno=os.dup(_descriptor(other))))
                others.append(_Reader(other, line))
                other.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{state}'")
                # Who changes the table waits for the first transaction, and would keep this one waiting: for ever.
                other.exec_driver_sql(f"{_LOCK} NOWAIT")
            yield others
        except BaseException:
            for reader in others:
                reader.connection.invalidate()  # a rollback would wait for the server, or fail
            raise


def _descriptor(connection: Connection) -> int:
    driver: Any = connection.connection.driver_connection
    return int(driver.fileno())
