"""Tiny worlds for tests."""

import pandas as pd

from graphstore.retention import DAY_MS
from sagestream.simulation.injections import Injection, InjectionName
from sagestream.simulation.latent_world import LatentSize, LatentWorld
from sagestream.simulation.world import Visit, World
from stream.events import CatalogItem, utc
from stream.sources.table import COLUMNS, EventTable

BEGIN = 1_700_006_400_000
"""A midnight."""
SIZE = LatentSize(shoppers=60, items=40, days=6, history_days=10, segments=3, categories=4, visits_per_day=1.0)


def latent(name: InjectionName | None = None, *, day: int = 2, seed: int = 0, size: LatentSize = SIZE) -> LatentWorld:
    """A made-up world, opened; the injection comes on `day`."""
    world = LatentWorld(size, seed=seed, injection=Injection(name, day) if name else None)
    world.advance(world.opening)
    return world


def table(*, days: int = 60, shoppers: int = 12, items: int = 10) -> EventTable:
    """Each shopper buys a lasting favourite each day, and an item that goes round. Prices are in the catalogue."""
    rows = []
    for day in range(days):
        for shopper in range(shoppers):
            time = BEGIN + day * DAY_MS + shopper * 60_000
            rows += [
                (f"{day}-{shopper}-{item}", "purchase", f"u{shopper}", f"i{item}", time, 5.0, 1)
                for item in sorted({shopper % items, (shopper + day) % items})
            ]
    catalogue = [
        CatalogItem(
            item_id=f"i{row}", title=f"thing {row}", categories=[f"c{row % 3}"], price=5.0, event_time=utc(BEGIN)
        )
        for row in range(items)
    ]
    return EventTable(pd.DataFrame(rows, columns=list(COLUMNS)), catalogue)


def day_of(world: World, day: int) -> list[Visit]:
    """Move the world to a day; its visits."""
    begin = world.opening + day * DAY_MS
    world.advance(begin)
    return world.visits(begin, begin + DAY_MS)
