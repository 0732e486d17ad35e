"""Hourly clicks: a made-up shop, hour by hour, with a known click-through rate and clicks that are alike by shopper.

Arrives: the size of the shop, its noise, and what happens to it. Leaves: an `Hour` for each hour. Next:
`benchmarks.triggers` hands them to the triggers.

The rate has a day-night cycle of ±20 %, traffic one of ±50 %. Each shopper has a taste of their own (a beta
distribution with the correlation 0.05), sees ten to sixty items, and three of ten stay for the next hour with the same
taste. With these numbers an impression counts for less than a half of an independent one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from graphstore.tables import HOUR_MS
from monitoring.triggers.hours import Hour

MONDAY = 1_699_833_600_000
"""A Monday, 00:00 UTC, epoch ms."""
ITEMS_A_LIST = 10
STAY = 0.3
CORRELATION = 0.05


@dataclass(frozen=True)
class ShopKind:
    """A shop. The noise is a standard deviation, as a share of the rate: of single hours and of whole days."""

    impressions_an_hour: float
    rate: float = 0.05
    cycle: float = 0.2
    traffic_cycle: float = 0.5
    hour_noise: float = 0.0
    day_noise: float = 0.0


def made_up_hours(
    shop: ShopKind, hours: int, seed: int, *, level: Callable[[int], float] = lambda hour: 1.0
) -> Iterator[Hour]:
    """Yield the hours of a shop. `level` says by what the rate of an hour (0, 1, …) is multiplied."""
    rng = np.random.default_rng(seed)
    phase = rng.integers(24)
    staying, day = np.zeros(0), 1.0
    a, b = (share * (1 / CORRELATION - 1) for share in (shop.rate, 1 - shop.rate))
    for number in range(hours):
        if number % 24 == 0:
            day = 1 + shop.day_noise * rng.standard_normal()
        rate = 1 + shop.cycle * np.sin(2 * np.pi * (number + phase) / 24)
        rate *= day * (1 + shop.hour_noise * rng.standard_normal()) * level(number)
        traffic = 1 + shop.traffic_cycle * np.sin(2 * np.pi * number / 24)
        shoppers = rng.poisson(shop.impressions_an_hour * traffic / (2 * ITEMS_A_LIST))
        back = staying[rng.random(len(staying)) < STAY][:shoppers]
        taste = np.concatenate([back, rng.beta(a, b, shoppers - len(back))])
        lists = 1 + rng.poisson(1.0, shoppers)
        x = ITEMS_A_LIST * lists
        y = rng.binomial(x, np.clip(taste * rate, 0.0, 1.0))
        staying = taste
        sums = (float(value) for value in (x.sum(), y.sum(), x @ x, y @ y, x @ y, lists.sum(), lists.sum()))
        yield Hour(MONDAY + number * HOUR_MS, *sums)
