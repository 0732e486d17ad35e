"""Account: whether each event of a playground run was stored or became a dead letter, by its id.

Arrives: the ids of the events that the run sends. Leaves: counts, and no id when everything is accounted for. Next:
`sagestream.playground.outcome`.

An event that somebody else sent changes nothing here: it cannot hide a lost one. The ids of stored events are
forgotten, so the memory holds only what is on its way.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import msgspec
from sqlalchemy import Connection, select

from graphstore.errors import UserError
from graphstore.tables import interactions
from stream.events import DeadLetter, milliseconds

CHUNK = 500
SHOWN = 3
PAUSE_SECONDS = 0.2


class NotAccounted(UserError):
    """Events of the run are neither stored nor dead letters."""


class _WithId(msgspec.Struct):
    event_id: str = ""


class Account:
    """The events of one run. `since` is its beginning (epoch ms). Safe for several threads."""

    def __init__(self, since: int) -> None:
        self._since = since
        self._lock = threading.Lock()
        self._waiting: Counter[str] = Counter()
        self._malformed: set[bytes] = set()
        self._repeated: dict[str, bool] = {}  # whether the id was counted as stored
        self.produced = 0
        self.stored = 0
        self.duplicate = 0
        self.dead = 0

    def sent(self, ids: Iterable[str], *, repeated: bool = False) -> None:
        """Add events that the broker gets. `repeated`: the run sends the same ids again later."""
        with self._lock:
            for event_id in ids:
                self._waiting[event_id] += 1
                self.produced += 1
                if repeated:
                    self._repeated[event_id] = False

    def sent_malformed(self, raw: bytes) -> None:
        """Add a message that is no event and must become a dead letter."""
        with self._lock:
            self._malformed.add(raw)
            self.produced += 1

    def waiting(self) -> list[str]:
        """Return what is neither stored nor dead: ids, and the text of malformed messages."""
        with self._lock:
            return [*self._waiting, *(raw.decode(errors="replace") for raw in self._malformed)]

    def take_stored(self, connection: Connection) -> None:
        """Take off the events that the database holds."""
        with self._lock:
            ids = list(self._waiting)
        for start in range(0, len(ids), CHUNK):
            query = select(interactions.c.event_id, interactions.c.ingest_time).where(
                interactions.c.event_id.in_(ids[start : start + CHUNK])
            )
            found = connection.execute(query).all()
            with self._lock:
                for event_id, ingest_time in found:
                    self._take(event_id, new=ingest_time >= self._since)

    def take_dead(self, letters: Iterable[DeadLetter]) -> None:
        """Take off the messages among the dead letters of this run."""
        for letter in letters:
            if milliseconds(letter.first_seen) < self._since:
                continue
            with self._lock:
                if letter.raw in self._malformed:
                    self._malformed.discard(letter.raw)
                    self.dead += 1
                else:
                    self.dead += self._waiting.pop(_id_of(letter.raw), 0)

    def _take(self, event_id: str, *, new: bool) -> None:
        count = self._waiting.pop(event_id, 0)
        if new and event_id in self._repeated:
            new, self._repeated[event_id] = not self._repeated[event_id], True
        stored = int(new and count > 0)
        self.stored += stored
        self.duplicate += count - stored


def settle(
    account: Account,
    open_database: Callable[[], AbstractContextManager[Connection]],
    letters: Callable[[], Iterable[DeadLetter]],
    *,
    seconds: float,
) -> None:
    """Wait until nothing of the account is left. Raises `NotAccounted` after `seconds`, with the ids."""
    deadline = time.monotonic() + seconds
    while True:
        with open_database() as connection:
            account.take_stored(connection)
        if account.waiting():
            account.take_dead(letters())
        if not (missing := account.waiting()):
            return
        if time.monotonic() > deadline:
            shown = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
            raise NotAccounted(
                f"{len(missing):,} of {account.produced:,} events of this run are neither stored nor dead letters "
                f"after {seconds:g} s: {shown}. The worker's log in the state directory says why"
            )
        time.sleep(PAUSE_SECONDS)


def _id_of(raw: bytes) -> str:
    try:
        return msgspec.json.decode(raw, type=_WithId).event_id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
