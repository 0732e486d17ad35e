"""Reads a snapshot from a replica of the database, so that its long reads leave the primary alone.

Arrives: the primary and a replica, as engines. Leaves: which rows the replica holds completely. Next:
`graphstore.snapshots.snapshot` reads them there and registers the snapshot on the primary.

The greatest key that a replica shows is no safe end: on the primary a smaller key may still be uncommitted at that
moment, and a later snapshot would never read it. So the primary, while no writer runs, notes its newest key in
`store_state`. A replica shows the commits in their order: where it shows the note, it shows every row up to that key.
The note and the rows are read in one transaction.

A replica that is behind gets `CATCH_UP_SECONDS`. Then the snapshot is as of the newest note that it shows, which an
earlier snapshot has left.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, func, select

from graphstore.batch import lock_writers
from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError
from graphstore.session import open_existing, read, write
from graphstore.snapshots.eventlog import Seen
from graphstore.state import get_states, raise_to
from graphstore.tables import NOTED_KEY, NOTED_TIME, interactions

logger = logging.getLogger(__name__)

CATCH_UP_SECONDS = 60.0
"""Longer than a healthy replica is behind, and short beside a training."""
POLL_SECONDS = 0.2


class ReplicaBehind(UserError):
    """The replica shows no note of the primary, so nobody knows what it holds completely."""


@contextmanager
def open_replica(graph: GraphstoreConfig) -> Iterator[Engine | None]:
    """The replica that the settings name, for the block; None where they name none."""
    if not graph.snapshot_database_url:
        yield None
        return
    engine = open_existing(graph.snapshot_database_url)
    try:
        yield engine
    finally:
        engine.dispose()


def note_newest_key(primary: Engine, *, now: int) -> None:
    """Note the newest key and `now` (epoch ms) on the primary. Waits for the running writers."""
    with write(primary) as connection:
        lock_writers(connection, shared=False)
        newest = int(connection.scalar(select(func.max(interactions.c.interaction_key))) or 0)
        raise_to(connection, NOTED_KEY, newest)
        raise_to(connection, NOTED_TIME, now)


def wait_for(replica: Engine, *, now: int) -> None:
    """Wait until the replica shows the note of `now`, but not for ever."""
    end = time.monotonic() + CATCH_UP_SECONDS
    while True:
        with read(replica) as connection:
            if get_states(connection).get(NOTED_TIME, 0) >= now:
                return
        if time.monotonic() >= end:
            return
        time.sleep(POLL_SECONDS)


def seen_on(connection: Connection, as_of: int, *, now: int) -> Seen:
    """Return which rows a snapshot as of `as_of` (epoch ms) may read in this transaction on a replica.

    `now` is the time of the note that was waited for.

    Raises `ReplicaBehind`.
    """
    states = get_states(connection)
    if NOTED_KEY not in states:
        raise ReplicaBehind(
            "the replica of SAGESTREAM_SNAPSHOT_DATABASE_URL shows nothing that the primary has noted for it: is it a "
            "replica of this database, and does it follow? Without the variable, snapshots read the primary"
        )
    noted, moment = states[NOTED_KEY], states[NOTED_TIME]
    if moment < now:
        logger.warning("the replica is behind: the snapshot is as of %.0f seconds ago", (now - moment) / 1000)
        as_of = min(as_of, moment)
    key = interactions.c.interaction_key
    newest = select(func.max(key)).where(interactions.c.event_time < as_of, key <= noted)
    return Seen(as_of, int(connection.scalar(newest) or 0))
