"""World: what the shoppers of a simulation want. No model and no policy sees it.

Arrives: a seed and sizes, or the later part of a data set. Leaves: visits, and for each visit the probability that the
shopper clicks an item. Next: `sagestream.simulation.traffic` shows lists to the visits.

A world decides what is wanted. `sagestream.simulation.attention` decides what is seen, and a policy what is shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from graphstore.arrays import BoolArray, Float64Array
from stream.events import CatalogItem, Interaction


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of a shopper at `time` (epoch ms). `number` is unique in the world, and seeds the visit's chance."""

    number: int
    shopper: int
    """Row in `World.user_ids`."""
    time: int
    need: int
    """What the shopper came for. Its meaning belongs to the world."""


class World(Protocol):
    """Shoppers and items with their hidden preferences. Equal seeds give equal visits, whatever is shown to them.

    A world has a current time, which `advance` moves on. Days are counted from `opening`.
    """

    user_ids: list[str]
    item_ids: list[str]
    opening: int
    """The begin of day 0 (epoch ms). Before it lies the past that every policy knows."""

    def past(self) -> Iterator[Interaction]:
        """Yield the events before the opening, in order of time."""
        ...

    def advance(self, time: int) -> list[CatalogItem]:
        """Move to a time (epoch ms); return the catalogue entries that changed. The first call returns all."""
        ...

    def visits(self, start: int, end: int) -> list[Visit]:
        """Return the visits of start <= time < end (epoch ms), in order of time."""
        ...

    def prices(self) -> Float64Array:
        """Return the price of each item now [num_items]."""
        ...

    def available(self) -> BoolArray:
        """Return which items can be bought now [num_items]."""
        ...

    def appeal(self, visit: Visit, owned: BoolArray) -> Float64Array:
        """Return for each item the probability [num_items] that the visitor clicks it once it is seen.

        `owned` [num_items] are the items that this shopper has bought.
        """
        ...

    def expected_appeal(self, visit: Visit, owned: BoolArray) -> Float64Array:
        """Return `appeal` as somebody expects it who knows the shopper's taste, but not what this visit is for."""
        ...

    def conversion(self, visit: Visit) -> Float64Array:
        """Return for each item the probability [num_items] that a click on it becomes a purchase."""
        ...

    def organic(self, visit: Visit, owned: BoolArray, bought: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Draw the items that the visitor finds without any list, by search or from memory.

        They are bought or only viewed, as `conversion` says. `bought` are the items bought from the list just before.
        """
        ...
