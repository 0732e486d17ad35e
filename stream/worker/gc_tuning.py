"""Python's garbage collector, set for a process that turns batches of small objects over.

Arrives: a process that has loaded and made what it keeps. Leaves: a collector that looks seldom, and never at that.

A batch makes thousands of records, tuples and strings, and none of them is in a cycle: reference counting frees them.
By default a collection starts every 700 objects and walks all that lives; measured, that was a third of the worker's
CPU. It is not switched off: what makes cycles (exceptions, asyncio) still goes.
"""

import gc

YOUNG_OBJECTS = 50_000
"""Objects made, less those freed, after which the young ones are looked at: some megabytes."""

MIDDLE, OLD = 20, 50


def collect_seldom() -> None:
    """Leave out of every later collection what lives now, and collect seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE, OLD)
