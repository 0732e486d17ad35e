"""Robots: which lists went to readers that are no people.

Arrives: the lists of whole hours. Leaves: which of them are a robot's. Next: `shown`.

A list is a robot's if its user agent says so, or if its shopper or its reader's address fetched more lists in one hour
of the clock than people do. Only the lists of this hour decide, so the answer does not depend on the span.
"""

from collections.abc import Sequence

import numpy as np

from graphstore.arrays import BoolArray, IntArray, find_sorted, run_starts
from graphstore.tables import HOUR_MS
from monitoring.names import Names

MOST_LISTS_OF_A_SHOPPER = 120
"""In an hour. A page shows about three lists, and 40 pages in an hour are a page every 90 seconds without a pause."""
MOST_LISTS_OF_A_CLIENT = 600
"""In an hour. Several people read behind one address, for example a family or an office: five very busy ones."""


def robots(agents: Sequence[bool], person: IntArray, clients: Sequence[str], time: IntArray) -> BoolArray:
    """Return which lists [lists] are a robot's.

    Args:
        agents: whether the user agent of the list says so.
        person: the shopper of each list.
        clients: the reader's address, "" where it is not known.
        time: when the list was served, epoch ms. All lists of an hour are needed to judge it.
    """
    client = Names()
    robot = np.array(agents, dtype=np.bool_)
    if len(robot):
        robot |= _busy(person, time, most=MOST_LISTS_OF_A_SHOPPER)
        robot |= _busy(client.codes(clients), time, most=MOST_LISTS_OF_A_CLIENT) & np.array([c != "" for c in clients])
    return robot


def _busy(who: IntArray, time: IntArray, *, most: int) -> BoolArray:
    """Return which lists are of somebody with more than `most` lists in the list's hour."""
    hour = time // HOUR_MS
    hour -= hour.min()
    group = who * (int(hour.max()) + 1) + hour
    groups = np.sort(group)
    starts = run_starts(groups)
    return find_sorted(group, groups[starts][np.diff(starts, append=len(groups)) > most])[1]
