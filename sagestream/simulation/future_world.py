"""Future world: shoppers of a real data set, who want what they really bought later.

Arrives: an `EventTable`. Leaves: a `World`. Next: `sagestream.simulation.traffic`.

The last days of the data are the hidden future. A shopper comes when the real shopper came, and wants the items that
the real shopper bought from then on, the sooner the more. So no policy and no model has a part in what is wanted. A
want does not end when the item is bought from a list.

Injections: with a taste shift most shoppers continue with the future of another shopper; with a swap of the catalogue
half of the items come back under new ids; with a price shock half of the items become dearer and less wanted.
"""

import copy
from collections.abc import Iterator, Sequence

import numpy as np

from graphstore.arrays import BoolArray, Float64Array, IntArray, offsets_of
from graphstore.errors import UserError
from graphstore.retention import DAY_MS
from sagestream.simulation.injections import Injection
from sagestream.simulation.world import Visit
from stream.events import CatalogItem, Interaction, utc
from stream.sources.table import EventTable

HORIZON_DAYS = 14
"""Wants look this far ahead."""
HALF_LIFE_DAYS = 5.0
"""An item that is bought this much later is half as appealing today."""
LARGEST_APPEAL = 0.6
ACCIDENT = 0.003
FOUND = 0.8
"""The share of a basket that the shopper finds without any list."""
CONVERSION_TODAY = 0.8
CONVERSION_LATER = 0.2
SHIFTED = 0.8
DEARER = 1.8
DEAR_APPEAL = 0.5
SEASON_DAYS = 14.0
SEASON_STRENGTH = 1.0
SMALLEST_PAST = 0.5
"""The share of the events that must lie before the opening."""


class TooShort(UserError):
    """The data do not reach back far enough before the days of the simulation."""


class FutureWorld:
    """See the module. The first `days` of the hidden future are simulated; wants look beyond them."""

    def __init__(self, table: EventTable, *, days: int, seed: int, injection: Injection | None = None) -> None:
        self._table, self._injection = table, injection
        rows = table.interactions
        times = rows["event_time"].to_numpy(dtype=np.int64)
        if not len(times):
            raise TooShort("the data set holds no event")
        self.opening = int(times[-1]) // DAY_MS * DAY_MS - (days + HORIZON_DAYS - 1) * DAY_MS
        self._split = int(np.searchsorted(times, self.opening))
        if self._split < SMALLEST_PAST * len(times):
            raise TooShort(
                f"{days} days of simulation and {HORIZON_DAYS} days to look ahead leave {self._split} of {len(times)} "
                "events for the past: simulate fewer days, or take data of more time"
            )
        catalogue = {item.item_id: item for item in table.items}
        self.user_ids = sorted(set(rows["user_id"]))
        known = sorted({*catalogue, *rows["item_id"]})
        self._first_twin = len(known)
        # Half of the items may come back under new ids, the second half of the rows.
        swapped = injection is not None and injection.name == "catalogue_swap"
        rng = np.random.default_rng([seed, 0])
        originals = np.sort(rng.permutation(len(known))[: len(known) // 2]) if swapped else np.empty(0, dtype=np.int64)
        self._twin = np.arange(len(known))
        self._twin[originals] = len(known) + np.arange(len(originals))
        self._original = np.append(np.arange(len(known)), originals)
        self.item_ids = [*known, *(f"{known[row]}-again" for row in originals)]
        self._catalogue = [catalogue.get(item_id) for item_id in known]
        self._usual = self._price = self._prices(known)[self._original]
        dear = rng.random(len(known)) < 0.5
        self._dear = dear[self._original]
        phases = {name: rng.random() for name in sorted({self._category(row) for row in range(len(known))})}
        self._phase = np.array([phases[self._category(int(row))] for row in self._original])
        self._dearer = self._swapped = False
        self._day, self._season = -1, False
        self._known: dict[int, tuple[float, bool]] = {}
        self._take_future(times, known, rng)

    def _category(self, row: int) -> str:
        item = self._catalogue[row]
        return item.categories[0] if item is not None and item.categories else ""

    def _prices(self, known: Sequence[str]) -> Float64Array:
        """Return the price of each item: of the catalogue, else the mean of what was paid, else 1."""
        paid = self._table.interactions.iloc[: self._split].groupby("item_id")["value"].mean()
        prices = np.ones(len(known))
        for row, item_id in enumerate(known):
            item = self._catalogue[row]
            price = item.price if item is not None and item.price is not None else paid.get(item_id)
            if price is not None and np.isfinite(price):
                prices[row] = price
        return prices

    def _take_future(self, times: IntArray, known: Sequence[str], rng: np.random.Generator) -> None:
        later = self._table.interactions.iloc[self._split :]
        user_rows = {name: row for row, name in enumerate(self.user_ids)}
        item_rows = {name: row for row, name in enumerate(known)}
        users = np.array([user_rows[name] for name in later["user_id"]], dtype=np.int64)
        items = np.array([item_rows[name] for name in later["item_id"]], dtype=np.int64)
        future = times[self._split :]
        # Each shopper's events together, in order of time.
        order = np.lexsort((future, users))
        self._want_items, self._want_times = items[order], future[order]
        self._want_of = offsets_of(np.bincount(users, minlength=len(self.user_ids)))
        baskets = sorted({(int(time), int(user)) for time, user in zip(future, users, strict=True)})
        self._baskets = [Visit(number, user, time, 0) for number, (time, user) in enumerate(baskets)]
        self._basket_times = np.array([visit.time for visit in self._baskets], dtype=np.int64)
        self._follows = np.arange(len(self.user_ids))
        shifting = np.flatnonzero(rng.random(len(self.user_ids)) < SHIFTED)
        self._shifted = self._follows.copy()
        circle = rng.permutation(shifting)
        self._shifted[circle] = np.roll(circle, 1)

    def anew(self) -> "FutureWorld":
        """Return the same world at its opening. What was read of the data is shared."""
        made = copy.copy(self)
        made._follows = np.arange(len(self.user_ids))
        made._price = self._usual
        made._dearer = made._swapped = made._season = False
        made._known = {}
        return made

    def past(self) -> Iterator[Interaction]:
        """Yield the real events before the opening."""
        return self._table.events(0, self._split)

    def advance(self, time: int) -> list[CatalogItem]:
        """Move to a time; return the catalogue entries that changed."""
        self._day = (time - self.opening) // DAY_MS
        injected = self._injection is not None and self._injection.active(time, self.opening)
        if injected and self._name == "taste_shift":
            self._follows = self._shifted
        elif injected and self._name == "catalogue_swap":
            self._swapped = True
        elif injected and self._name == "price_shock" and not self._dearer:
            self._dearer = True
            self._price = np.where(self._dear, self._price * DEARER, self._price)
        self._season = injected and self._name == "season"
        return self._announcements(time)

    @property
    def _name(self) -> str | None:
        return self._injection.name if self._injection else None

    def _announcements(self, time: int) -> list[CatalogItem]:
        there, told = self.available(), []
        for row in np.flatnonzero(there | (np.arange(len(there)) < self._first_twin)):
            now = (round(float(self._price[row]), 2), bool(there[row]))
            if self._known.get(int(row)) == now:
                continue
            self._known[int(row)] = now
            item = self._catalogue[self._original[row]]
            told.append(
                CatalogItem(
                    item_id=self.item_ids[row],
                    title=item.title if item else "",
                    categories=item.categories if item else [],
                    brand=item.brand if item else "",
                    price=now[0],
                    available=now[1],
                    event_time=utc(time),
                )
            )
        return told

    def visits(self, start: int, end: int) -> list[Visit]:
        """Return the real visits of the time."""
        first, last = np.searchsorted(self._basket_times, [start, end])
        return self._baskets[first:last]

    def prices(self) -> Float64Array:
        """Return the price of each item now [num_items]."""
        return self._price

    def available(self) -> BoolArray:
        """Return which items can be bought now [num_items]."""
        twins = np.arange(len(self.item_ids)) >= self._first_twin
        replaced = np.append(self._twin >= self._first_twin, np.zeros(twins.sum(), dtype=np.bool_))
        there: BoolArray = ~replaced if self._swapped else ~twins
        return there

    def _wants(self, visit: Visit) -> tuple[IntArray, Float64Array]:
        """Return the wanted items (rows of now) and in how many days the real shopper bought each of them."""
        follows = self._follows[visit.shopper]
        first, last = self._want_of[follows], self._want_of[follows + 1]
        times = self._want_times[first:last]
        begin, end = np.searchsorted(times, [visit.time, visit.time + HORIZON_DAYS * DAY_MS])
        items = self._want_items[first:last][begin:end]
        ahead: Float64Array = (times[begin:end] - visit.time) / DAY_MS
        return (self._twin[items] if self._swapped else items), ahead

    def appeal(self, visit: Visit, owned: BoolArray) -> Float64Array:
        """Return the probability of a click [num_items]: high for what is bought soon."""
        wanted = np.zeros(len(self.item_ids))
        items, ahead = self._wants(visit)
        np.maximum.at(wanted, items, LARGEST_APPEAL * 2.0 ** (-ahead / HALF_LIFE_DAYS))
        if self._season and self._injection is not None:
            begun = (self._day - self._injection.day) / SEASON_DAYS
            wanted *= np.exp(SEASON_STRENGTH * (np.sin(2 * np.pi * (begun + self._phase)) - 1.0))
        if self._dearer:
            wanted *= np.where(self._dear, DEAR_APPEAL, 1.0)
        clicks: Float64Array = (ACCIDENT + (1.0 - ACCIDENT) * wanted) * self.available()
        return clicks

    def expected_appeal(self, visit: Visit, owned: BoolArray) -> Float64Array:
        """Return `appeal`: who knows the future knows what this visit is for."""
        return self.appeal(visit, owned)

    def conversion(self, visit: Visit) -> Float64Array:
        """Return the probability of a purchase after a click [num_items]: high for what is bought today."""
        bought = np.full(len(self.item_ids), CONVERSION_LATER)
        items, ahead = self._wants(visit)
        bought[items[ahead < 1.0]] = CONVERSION_TODAY
        return bought

    def organic(self, visit: Visit, owned: BoolArray, bought: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Return most of what the real shopper bought within the day, without what was bought from the list."""
        items, ahead = self._wants(visit)
        basket = sorted(set(items[ahead < 1.0].tolist()))
        chances = rng.random(len(basket))
        there = self.available()
        return [
            item
            for item, chance in zip(basket, chances, strict=True)
            if chance < FOUND and item not in bought and there[item]
        ]
