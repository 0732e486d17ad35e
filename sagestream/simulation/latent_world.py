"""Latent world: a made-up shop whose shoppers choose by needs and ideal points, which no term of our score computes.

Arrives: sizes, a seed, perhaps an injection. Leaves: a `World`. Next: `sagestream.simulation.traffic`.

A visit has one need: a category, drawn from the shopper's own mix. In a category the shopper likes items near an ideal
point (an unfolding model; Coombs, 1950) and dislikes high prices. Shoppers of one segment have similar mixes and ideal
points. New items have the charm of novelty for a while. Nothing here is a product of two vectors, a walk on a graph or
a count, so a policy has no advantage by its form.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from graphstore.arrays import BoolArray, Float64Array, IntArray
from graphstore.retention import DAY_MS
from graphstore.tables import HOUR_MS
from sagestream.simulation.injections import Injection
from sagestream.simulation.world import Visit
from stream.events import CatalogItem, EventType, Interaction, utc

OPENING = 1_704_067_200_000
"""Monday, 1 January 2024."""

POINT_SIZE = 3
LARGEST_APPEAL = 0.6
"""Even the best item is not clicked at each visit."""
BESIDE_THE_NEED = 0.1
"""The share of its appeal that an item of another category keeps."""
ACCIDENT = 0.003
"""Clicks for no reason."""
OWNED = 0.15
"""The share of its appeal that an item keeps that the shopper has bought already."""
CONVERSION = 0.3
NOVELTY = 1.2
NOVELTY_DAYS = 6.0
"""The half-life of a new item's charm."""
WEEK = np.array([0.9, 0.9, 0.9, 0.95, 1.05, 1.2, 1.1])
"""Visits by day of the week, from Monday, in multiples of the mean."""
BUSIEST_HOUR = 20
SEASON_DAYS = 14.0
SEASON_STRENGTH = 1.5
DEARER = 1.8
STEP_MS = 3 * HOUR_MS
"""The past is drawn in steps of this length, each with the visits of its hour."""
VISITS_A_SECOND = 1 << 20
"""Bounds the visits of one call, so that numbers of visits are unique."""
SHOPPERS_AT_ONCE = 1024
"""Bounds the memory for the distances of shoppers and items."""
SHIFTED = 0.8
"""The share of shoppers whose taste shifts."""


@dataclass(frozen=True)
class LatentSize:
    """The size of the shop. A shopper comes `visits_per_day` times a day on average."""

    shoppers: int
    items: int
    days: int
    history_days: int = 30
    segments: int = 6
    categories: int = 10
    visits_per_day: float = 0.6
    history_visits: float = 1.0
    """The visits before the opening, in multiples of those after it."""
    arrivals: float = 0.2
    """The share of items and of shoppers that appear during history and simulation, not before."""


class LatentWorld:
    """See the module. The tables of appeal [num_shoppers, num_items] are computed once a day."""

    def __init__(self, size: LatentSize, *, seed: int, injection: Injection | None = None) -> None:
        self.size, self.opening = size, OPENING
        self._seed, self._injection = seed, injection
        rng = np.random.default_rng([seed, 0])
        shoppers, categories = size.shoppers, size.categories
        # The goods that a swap of the catalogue brings are not born before it.
        items = size.items + (size.items // 2 if self._name == "catalogue_swap" else 0)
        self.user_ids = [f"u{row}" for row in range(shoppers)]
        self.item_ids = [f"i{row}" for row in range(items)]
        self._segment = rng.integers(0, size.segments, shoppers)
        self._category = rng.integers(0, categories, items)
        self._points = rng.normal(size=(items, POINT_SIZE))
        self._quality = rng.normal(0.0, 0.7, items)
        level = np.exp(rng.normal(3.0, 0.6, categories))
        self._usual = level[self._category]
        self._price = self._usual * np.exp(rng.normal(0.0, 0.35, items))
        self._thrift = rng.gamma(2.0, 0.5, shoppers)
        self._activity = rng.gamma(1.5, size.visits_per_day / 1.5, shoppers)
        self._born = self._births(rng, items)
        self._born[size.items :] = np.inf
        self._arrived = self._births(rng, shoppers)
        self._gone = np.zeros(items, dtype=np.bool_)
        # The tastes of the segments, and of their shoppers around them.
        self._segment_mix = rng.dirichlet(np.full(categories, 0.4), size.segments)
        self._segment_ideal = rng.normal(size=(size.segments, categories, POINT_SIZE))
        self._mix = np.empty((shoppers, categories))
        self._ideal = np.empty((shoppers, categories, POINT_SIZE))
        self._take_tastes(rng, np.arange(shoppers))
        self._noise = rng.normal(0.0, 0.5, (shoppers, items)).astype(np.float32)
        self._changed = False
        self._known: dict[int, tuple[float, bool]] = {}
        """Price and availability of each item that was announced."""
        self._day = -size.history_days - 1
        self._liking = np.empty((shoppers, items), dtype=np.float32)
        self._demand = np.empty((shoppers, categories))

    def _births(self, rng: np.random.Generator, count: int) -> Float64Array:
        """Draw the day on which each one appears: most are there from the beginning."""
        born = rng.uniform(-self.size.history_days, self.size.days, count)
        return np.where(rng.random(count) < self.size.arrivals, born, -self.size.history_days - 100.0)

    def _take_tastes(self, rng: np.random.Generator, shoppers: IntArray) -> None:
        segment = self._segment[shoppers]
        mix = self._segment_mix[segment] * 12.0 + 0.15
        drawn = rng.gamma(mix)
        self._mix[shoppers] = drawn / drawn.sum(axis=1, keepdims=True)
        around = rng.normal(0.0, 0.35, (len(shoppers), self.size.categories, POINT_SIZE))
        self._ideal[shoppers] = self._segment_ideal[segment] + around

    def past(self) -> Iterator[Interaction]:
        """Yield organic views and purchases of the days before the opening. Nobody was shown a list."""
        owned = np.zeros((self.size.shoppers, len(self.item_ids)), dtype=np.bool_)
        for begin in range(self.opening - self.size.history_days * DAY_MS, self.opening, STEP_MS):
            self.advance(begin)
            for visit in self.visits(begin, begin + STEP_MS):
                rng = np.random.default_rng([self._seed, 1, visit.number])
                conversion = self.conversion(visit)
                for place, item in enumerate(self.organic(visit, owned[visit.shopper], [], rng)):
                    buys = bool(rng.random() < conversion[item])
                    owned[visit.shopper, item] |= buys
                    yield Interaction(
                        event_id=f"past-{visit.number}-{place}",
                        event_type=EventType.PURCHASE if buys else EventType.VIEW,
                        user_id=self.user_ids[visit.shopper],
                        item_id=self.item_ids[item],
                        event_time=utc(visit.time + place),
                        value=round(float(self._price[item]), 2) if buys else None,
                    )

    def advance(self, time: int) -> list[CatalogItem]:
        """Move to the day of a time; return the catalogue entries that changed since the last call."""
        day = (time - self.opening) // DAY_MS
        if day != self._day:
            self._day = day
            if self._injected(time) and not self._changed:
                self._changed = True
                self._inject(day)
            self._compute(day, season=self._injected(time) and self._name == "season")
        return self._announcements(time)

    @property
    def _name(self) -> str | None:
        return self._injection.name if self._injection else None

    def _injected(self, time: int) -> bool:
        return self._injection is not None and self._injection.active(time, self.opening)

    def _inject(self, day: int) -> None:
        rng = np.random.default_rng([self._seed, 2])
        if self._name == "taste_shift":
            self._segment_mix = np.roll(self._segment_mix, 1, axis=0)
            self._segment_ideal = rng.normal(size=self._segment_ideal.shape)
            turning = np.flatnonzero(rng.random(self.size.shoppers) < SHIFTED)
            self._take_tastes(rng, turning)
        elif self._name == "catalogue_swap":
            there = np.flatnonzero(self._born <= day)
            self._gone[rng.permutation(there)[: self.size.items // 2]] = True
            self._born[self.size.items :] = day
        elif self._name == "price_shock":
            dearer = rng.permutation(self.size.categories)[: self.size.categories // 2]
            self._price = np.where(np.isin(self._category, dearer), self._price * DEARER, self._price)

    def _compute(self, day: int, *, season: bool) -> None:
        """Compute the tables of the day: what each shopper wants of each category and of each item."""
        demand = self._mix
        if season:
            phase = np.arange(self.size.categories) / self.size.categories
            begun = day - (self._injection.day if self._injection else 0)
            demand = demand * np.exp(SEASON_STRENGTH * np.sin(2 * np.pi * (begun / SEASON_DAYS + phase)))
        self._demand = demand / demand.sum(axis=1, keepdims=True)
        charm = NOVELTY * 2.0 ** (-np.clip(day - self._born, 0, None) / NOVELTY_DAYS)
        dear = np.log(self._price / self._usual)
        for first in range(0, self.size.shoppers, SHOPPERS_AT_ONCE):
            part = slice(first, first + SHOPPERS_AT_ONCE)
            distance = np.square(self._ideal[part][:, self._category] - self._points).sum(axis=2)
            utility = self._quality + charm - distance - self._thrift[part, None] * dear + self._noise[part]
            self._liking[part] = LARGEST_APPEAL / (1.0 + np.exp(-1.5 * utility))

    def _announcements(self, time: int) -> list[CatalogItem]:
        there = (self._born <= self._day) & ~self._gone
        told = []
        for row in np.flatnonzero(there | self._gone):
            now = (round(float(self._price[row]), 2), bool(there[row]))
            if self._known.get(int(row)) == now:
                continue
            self._known[int(row)] = now
            category = f"category {self._category[row]}"
            told.append(
                CatalogItem(
                    item_id=self.item_ids[row],
                    title=f"thing {row} of {category}",
                    categories=[category],
                    price=now[0],
                    available=now[1],
                    event_time=utc(time),
                )
            )
        return told

    def visits(self, start: int, end: int) -> list[Visit]:
        """Return the visits, with the rhythm of day and week. Only the time and the seed decide them."""
        middle = (start + end) // 2
        hour, day = middle / HOUR_MS % 24, middle // DAY_MS
        busy = 1.0 + 0.8 * np.cos(2 * np.pi * (hour - BUSIEST_HOUR) / 24)
        # 1 January 1970 was a Thursday, the fourth day of the week.
        rate = (end - start) / DAY_MS * busy * WEEK[(day + 3) % 7] / WEEK.mean()
        rng = np.random.default_rng([self._seed, 3, start // 1000])
        present = self._arrived <= (start - self.opening) / DAY_MS
        share = 1.0 if start >= self.opening else self.size.history_visits
        counts = rng.poisson(self._activity * rate * share) * present
        shoppers = np.repeat(np.arange(self.size.shoppers), counts)
        times = np.sort(rng.integers(start, end, len(shoppers)))
        rng.shuffle(shoppers)
        chances = rng.random(len(shoppers))
        needs = (np.cumsum(self._demand[shoppers], axis=1) < chances[:, None]).sum(axis=1)
        needs = needs.clip(max=self.size.categories - 1)
        first = start // 1000 * VISITS_A_SECOND
        return [
            Visit(first + place, shopper, time, need)
            for place, (shopper, time, need) in enumerate(
                zip(shoppers.tolist(), times.tolist(), needs.tolist(), strict=True)
            )
        ]

    def prices(self) -> Float64Array:
        """Return the price of each item now [num_items]."""
        return self._price

    def available(self) -> BoolArray:
        """Return which items can be bought now [num_items]."""
        return (self._born <= self._day) & ~self._gone

    def appeal(self, visit: Visit, owned: BoolArray) -> Float64Array:
        """Return the probability of a click [num_items], for what this visit is for."""
        return self._clicks(visit.shopper, np.where(self._category == visit.need, 1.0, BESIDE_THE_NEED), owned)

    def expected_appeal(self, visit: Visit, owned: BoolArray) -> Float64Array:
        """Return the mean of `appeal` over all needs that the visit may have."""
        probable = self._demand[visit.shopper][self._category]
        return self._clicks(visit.shopper, probable + BESIDE_THE_NEED * (1.0 - probable), owned)

    def _clicks(self, shopper: int, share: Float64Array, owned: BoolArray) -> Float64Array:
        wanted = self._liking[shopper] * share * np.where(owned, OWNED, 1.0)
        clicks: Float64Array = (ACCIDENT + (1.0 - ACCIDENT) * wanted) * self.available()
        return clicks

    def conversion(self, visit: Visit) -> Float64Array:
        """Return the probability of a purchase after a click [num_items]: dear items are bought less."""
        dear = self._thrift[visit.shopper] * np.log(self._price / self._usual)
        bought: Float64Array = CONVERSION * np.clip(np.exp(-0.5 * dear), 0.2, 1.5)
        return bought

    def organic(self, visit: Visit, owned: BoolArray, bought: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Draw one or two items of the need, the better ones more often: the shopper searches.

        Who has bought from the list does not search any more.
        """
        if bought:
            return []
        weights = np.where(self._category == visit.need, self.appeal(visit, owned), 0.0) ** 2
        total = weights.sum()
        if total == 0:
            return []
        count = 1 + int(rng.random() < 0.5)
        return sorted(set(rng.choice(len(weights), count, p=weights / total).tolist()))
