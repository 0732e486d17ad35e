"""Tunes Python's garbage collector for a process that makes and frees many small objects.

Arrives: a process that has loaded its modules and made its long-lived objects. Leaves: a collector that runs seldom and
skips these objects.

A batch makes thousands of records, tuples and strings without cycles, which reference counting frees. By default a
collection starts every 700 objects and visits all objects; measured, that was a third of the worker's CPU. The
collector stays on, because exceptions and asyncio make cycles.
"""

import gc

YOUNG_OBJECTS = 50_000
"""The number of new objects (allocated minus freed) that starts a young collection: some megabytes."""

MIDDLE, OLD = 20, 50


def collect_seldom() -> None:
    """Exclude all current objects from later collections, and collect seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE, OLD)
