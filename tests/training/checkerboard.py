"""A toy world whose right answer is known: two kinds of shoppers, and each kind buys only its half of the items."""

import numpy as np

from training.data.event_log import EventLog, GrownLog

DAY_MS = 86_400_000


def make_log(rows: list[tuple[int, int, int]], *, num_users: int, num_items: int) -> EventLog:
    """From (user, item, time) in any order."""
    table = np.array(sorted(rows, key=lambda row: row[2]), dtype=np.int64).reshape(-1, 3)
    return EventLog(
        users=table[:, 0].copy(),
        items=table[:, 1].copy(),
        times=table[:, 2].copy(),
        types=np.full(len(table), 3, dtype=np.int8),
        weights=np.full(len(table), 4.0, dtype=np.float32),
        num_users=num_users,
        num_items=num_items,
    )


def joined(past: EventLog, events: EventLog) -> GrownLog:
    """A past and new events as one log in time order."""
    times = np.concatenate([past.times, events.times])
    order = np.argsort(times, kind="stable")
    columns = {
        name: np.concatenate([getattr(past, name), getattr(events, name)])[order]
        for name in ("users", "items", "times", "types", "weights")
    }
    num_users, num_items = max(past.num_users, events.num_users), max(past.num_items, events.num_items)
    return GrownLog(EventLog(**columns, num_users=num_users, num_items=num_items), order >= len(past))


def checkerboard(*, num_users: int = 40, num_items: int = 24, bought: int = 6, seed: int = 0) -> EventLog:
    """User u buys `bought` distinct items i with i % 2 == u % 2, one a day."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(num_users):
        own = np.arange(user % 2, num_items, 2)
        for day, item in enumerate(rng.choice(own, bought, replace=False)):
            rows.append((user, int(item), day * DAY_MS + user))
    return make_log(rows, num_users=num_users, num_items=num_items)
