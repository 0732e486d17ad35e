"""Attribution: keep what is credited to each served list equal to what the rows say, whenever they arrive.

Arrives: `dirty_shoppers`, and the interactions, lists, seen items and logins of these shoppers. Leaves: rows of
`attributions` that have changed, and marks in `dirty_windows` for their hours. Next: `monitoring.dirty_windows` counts
these hours again.

The rules are in `monitoring.crediting`. They are a pure function of the rows. So it does not matter in which order or
how often events arrive, or how long the monitor was down: a shopper who is marked is computed again from the rows since
the earliest change, and the marks of `graphstore.dirty` miss nothing.

Everything is read and computed without the write lock. A write transaction holds at most `ROWS_A_WRITE` changed rows.
It leaves shoppers alone whose mark is gone, because another monitor or an erasure was faster. A mark that was made
again meanwhile stays, and the shopper is computed again in the next pass.

Rows whose list retention has deleted stay as they are (`LISTS_HORIZON`).
"""

import math
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, bindparam, delete, func, select, text

from graphstore.batch import lock_writers
from graphstore.dirty import mark_everyone, mark_hours
from graphstore.session import read, write
from graphstore.state import get_states, set_state
from graphstore.tables import CLICK_WINDOW, CONVERSION_WINDOW, HOUR_MS, LISTS_HORIZON, dirty_shoppers
from monitoring.credit_rows import read_rows
from monitoring.credit_windows import CreditWindows
from monitoring.crediting import Credit, CreditEvent, credited
from monitoring.dirty_shoppers import Shopper, forgotten, lock_marks, read_dirty

MARKS_A_STEP = 300
"""Marks that are read at once. Between two steps the time is looked at."""
ROWS_A_WRITE = 500
"""Changed rows in one write transaction."""

_STORE = text("""
INSERT INTO attributions (event_id, request_id, position, event_type, event_time, list_time, matched_by, order_id,
                          revenue, currency)
VALUES (:event_id, :request_id, :position, :event_type, :event_time, :list_time, :matched_by, :order_id, :revenue,
        :currency)
ON CONFLICT (event_id) DO UPDATE SET request_id = excluded.request_id, position = excluded.position,
    list_time = excluded.list_time, matched_by = excluded.matched_by, order_id = excluded.order_id,
    revenue = excluded.revenue, currency = excluded.currency
""")
_REMOVE = text("DELETE FROM attributions WHERE event_id = :event_id")

Writing = Callable[[], AbstractContextManager[Connection]]


@dataclass
class Attributed:
    """What a pass has done. `after` is where the next pass goes on; "" when it has seen every mark."""

    shoppers: int = 0
    changed: int = 0
    """Rows of `attributions` that were added, replaced or removed."""
    after: str = ""


@dataclass
class _Change:
    """What has changed for a shopper. `done`: no more changes follow, so its marks can go."""

    shopper: Shopper
    stored: list[tuple[CreditEvent, Credit]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    hours: set[int] = field(default_factory=set)
    done: bool = False

    def __len__(self) -> int:
        return len(self.stored) + len(self.removed)

    def add(self, event: CreditEvent, credit: Credit | None) -> None:
        """Add the event if what is stored differs."""
        if credit == event.stored:
            return
        if credit is None:
            self.removed.append(event.event_id)
        else:
            self.stored.append((event, credit))
        times = [known.list_time for known in (credit, event.stored) if known is not None]
        self.hours |= {time // HOUR_MS for time in times if time is not None}


def attribute(
    engine: Engine,
    *,
    windows: CreditWindows | None = None,
    budget_seconds: float = math.inf,
    after: str = "",
    timer: Callable[[], float] = time.monotonic,
) -> Attributed:
    """Attribute dirty shoppers again, from the id behind `after`, until the last id or until the time is over.

    At least one step is done. A step is `MARKS_A_STEP` marks or, for a crawler, all its rows since the change. Other
    windows than in the pass before mark every shopper.
    """
    began = timer()
    windows = windows or CreditWindows()
    _keep_windows(engine, windows)
    total = Attributed(after=after)
    while True:
        with read(engine) as connection:
            step = _step(connection, lambda: write(engine), windows, after=total.after)
        total = Attributed(total.shoppers + step.shoppers, total.changed + step.changed, step.after)
        if not step.after or timer() - began >= budget_seconds:
            return total


def attribute_now(connection: Connection, *, windows: CreditWindows | None = None) -> int:
    """Attribute all dirty shoppers in the caller's write transaction; return the number of changed rows.

    Without `windows`, those of the last pass of a monitor hold.
    """
    states = get_states(connection)
    if windows is None and CLICK_WINDOW in states:
        windows = CreditWindows(states[CLICK_WINDOW] / 1000, states[CONVERSION_WINDOW] / 1000)
    total = Attributed()
    while True:
        step = _step(connection, lambda: nullcontext(connection), windows or CreditWindows(), after=total.after)
        total = Attributed(total.shoppers + step.shoppers, total.changed + step.changed, step.after)
        if not step.after:
            return total.changed


def count_dirty_shoppers(connection: Connection) -> int:
    """Return how many shoppers wait to be attributed again."""
    return connection.scalar(select(func.count()).select_from(dirty_shoppers)) or 0


def _keep_windows(engine: Engine, windows: CreditWindows) -> None:
    """Store the windows of this pass. When they have changed, all shoppers are marked first, as after a migration."""
    wanted = {
        CLICK_WINDOW: round(1000 * windows.click_seconds),
        CONVERSION_WINDOW: round(1000 * windows.conversion_seconds),
    }
    with read(engine) as connection:
        states = get_states(connection)
    if wanted.items() <= states.items():
        return
    if wanted.keys() & states.keys():
        mark_everyone(engine)
    with write(engine) as connection:
        for name, value in wanted.items():
            set_state(connection, name, value)


def _step(connection: Connection, writing: Writing, windows: CreditWindows, *, after: str) -> Attributed:
    shoppers, last = read_dirty(connection, after=after, limit=MARKS_A_STEP)
    found = Attributed(len(shoppers), after=last or "")
    horizon = get_states(connection).get(LISTS_HORIZON, 0)
    waiting: list[_Change] = []
    size = 0
    with closing(_changes(connection, shoppers, windows, horizon)) as changes:
        for change in changes:
            waiting.append(change)
            size += len(change)
            if size >= ROWS_A_WRITE:
                found.changed += _write(writing, waiting)
                waiting, size = [], 0
    found.changed += _write(writing, waiting)
    return found


def _changes(
    connection: Connection, shoppers: list[Shopper], windows: CreditWindows, horizon: int
) -> Generator[_Change]:
    """Yield the changes of all shoppers; those of one shopper in pieces of at most `ROWS_A_WRITE`."""
    with closing(read_rows(connection, shoppers, windows, horizon=horizon)) as found:
        for shopper, events, shown in found:
            change = _Change(shopper)
            for event, credit in credited(events, shown, windows):
                change.add(event, credit)
                if len(change) >= ROWS_A_WRITE:
                    yield change
                    change = _Change(shopper)
            shopper.hours |= change.hours
            yield change
    for shopper in shoppers:
        yield _Change(shopper, hours=shopper.hours, done=True)


def _write(writing: Writing, changes: list[_Change]) -> int:
    """Store the changes of shoppers whose marks are all there still; return the number of changed rows."""
    if not changes:
        return 0
    marks = {name: generation for change in changes for name, generation in change.shopper.marks.items()}
    with writing() as connection:
        lock_writers(connection, shared=True)  # otherwise an erasure could miss a row stored at the same time
        present = lock_marks(connection, marks)
        gone = forgotten(connection, {name for change in changes if len(change) for name in change.shopper.names})
        kept = [
            change
            for change in changes
            if change.shopper.marks.keys() <= present.keys() and gone.isdisjoint(change.shopper.names)
        ]
        removed = [{"event_id": event_id} for change in kept for event_id in change.removed]
        stored = [
            {"event_id": event.event_id, "event_type": event.event_type, "event_time": event.time, **credit._asdict()}
            for change in kept
            for event, credit in change.stored
        ]
        for statement, rows in ((_REMOVE, removed), (_STORE, stored)):
            if rows:
                connection.execute(statement, sorted(rows, key=lambda row: str(row["event_id"])))
        mark_hours(connection, {hour for change in kept for hour in change.hours})
        done = {name for change in kept if change.done for name in change.shopper.marks}
        finished = [{"name": name, "seen": marks[name]} for name in sorted(done) if present[name] == marks[name]]
        if finished:
            mark = dirty_shoppers.c.user_id == bindparam("name"), dirty_shoppers.c.generation == bindparam("seen")
            connection.execute(delete(dirty_shoppers).where(*mark), finished)
    return len(removed) + len(stored)
