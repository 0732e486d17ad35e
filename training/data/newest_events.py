"""Newest events: bounds what one shopper can cost a fit.

Arrives: the users of an event log, in order of time. Leaves: the rows to learn from. Next: `training.data.dataset` and
`training.data.offline` leave the others out, and say how many.

A crawler or a shared account has more events than a thousand shoppers, and no taste. Its pairs of items would cost a
fit by their square, and its visits would fill the windows that models are judged on. Nothing is deleted: the graph
and the popularity of items still have all events.
"""

import numpy as np

from graphstore.arrays import IntArray

MAX_USER_EVENTS = 2_000
"""Newest events of one shopper that a fit learns from. A shopper with five a day fills it in over a year."""
LEFT_OUT = f"older than the newest {MAX_USER_EVENTS:,} of one shopper"


def newest_of_each_user(users: IntArray, most: int = MAX_USER_EVENTS) -> IntArray | None:
    """Return the rows, ascending, of the newest `most` events of each user. `users` [num_events] is in order of time.

    None: no user has more, which is the usual case.
    """
    crowded = np.flatnonzero(np.bincount(users) > most) if len(users) else users
    if not len(crowded):
        return None
    kept = np.ones(len(users), dtype=np.bool_)
    theirs = np.flatnonzero(np.isin(users, crowded))
    theirs = theirs[np.argsort(users[theirs], kind="stable")]  # stable: the events of a user stay in time order
    ends = np.searchsorted(users[theirs], users[theirs], side="right")
    kept[theirs[np.arange(len(theirs)) < ends - most]] = False
    return np.flatnonzero(kept)
